"""What decides whether an upgrade switches."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.cli.upgrade import _print, check_better, overlap
from sidecar.errors import ChercheError, Code
from tests.unit.sidecar.cli.conftest import Command


def compared(difference: float, p_value: float) -> dict[str, Any]:
    return {"ndcg@10": {"a": 0.5, "b": 0.5 + difference, "difference": difference, "p_value": p_value}}


def test_a_model_that_is_worse_beyond_chance_is_not_switched_to() -> None:
    with pytest.raises(ChercheError, match=r"ndcg@10 0\.4000, 0\.5000 before \(p 0\.0010\)") as refused:
        check_better(compared(-0.1, 0.001), force=False)
    assert refused.value.code is Code.FAILED_PRECONDITION
    assert "--force" in refused.value.next_step


@pytest.mark.parametrize(
    ("comparison", "force"),
    [(compared(-0.1, 0.001), True), (compared(-0.1, 0.5), False), (compared(0.1, 0.001), False), ({}, False)],
    ids=["forced", "within chance", "better", "nothing judged"],
)
def test_any_other_is(comparison: dict[str, Any], force: bool) -> None:
    check_better(comparison, force=force)


def test_only_the_first_ten_hits_are_compared() -> None:
    one, two = [str(i) for i in range(20)], [*map(str, range(5)), *map(str, range(100, 120))]
    assert overlap([(one, two)]) == 0.5
    assert overlap([(["a"], [])]) == 0.0
    assert overlap([]) == 0.0


@pytest.mark.parametrize(
    "options", [["--rollback", "--model", "m"], ["--rollback", "--dry-run"], ["--no-switch", "--replace"]]
)
def test_options_that_contradict_each_other_are_refused(articles: Command, options: list[str]) -> None:
    assert "Usage:" in articles("upgrade", "articles", *options, code=2).stderr


def test_a_dry_run_prints_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    estimate = {"documents": 1200, "to_encode": 1200, "seconds": 90.0, "stored_bytes": 2048, "free_bytes": -1}
    _print({"state": "estimated", "serving": [], "kept": [], "copied": {"estimate": estimate}, "comparison": None})
    printed = capsys.readouterr().out
    assert "1,200" in printed
    assert "time, estimated" in printed
