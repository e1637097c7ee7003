"""The rows of `tests.benchmarks.faults` that need no process of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.engines.opensearch import bulk
from tests.benchmarks.faults.answers import TAMPERINGS, tampered
from tests.benchmarks.faults.nodes import FAULTS, refusals
from tests.benchmarks.faults.row import Row
from tests.benchmarks.faults.together import together


@pytest.mark.parametrize("fault", TAMPERINGS)
async def test_no_answer_of_a_cluster_loses_a_document(fault: str) -> None:
    row = await tampered(fault)
    assert row.is_sound, row
    assert row.after == "every document has a result"


async def test_what_others_do_to_an_index_loses_no_document(tmp_path: Path) -> None:
    rows = await together(tmp_path)
    assert len(rows) == 3
    assert all(row.is_sound for row in rows), rows


async def test_a_planted_loss_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "_error_of", lambda *_: None)
    row = await tampered("a read-only block")
    assert (row.lost, row.is_sound) == (row.sent, False)


def test_an_error_without_a_kind_is_not_sound() -> None:
    assert Row("x", errors=["UNAVAILABLE"]).is_sound
    assert not Row("x", errors=["INTERNAL"]).is_sound


@pytest.mark.parametrize(
    ("errors", "exit_code", "is_silent"),
    [
        (["FAILED_PRECONDITION"], 1, False),
        ([], 1, True),
        (["FAILED_PRECONDITION"], 0, True),
        (["UNAVAILABLE"], 1, True),
    ],
)
def test_a_block_that_nobody_is_told_of_is_found(errors: list[str], exit_code: int, is_silent: bool) -> None:
    [_, block, _] = FAULTS
    row = Row(f"{block.name}, during a feed", errors=errors, exit_code=exit_code)
    assert refusals([row, Row("a node that is lost, during a feed")]) == ([row.fault] if is_silent else [])
