"""What the command reads, gives to the training, and says of its outcome."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import sidecar.models.library
from tests.unit.sidecar.cli.conftest import Command, judged


def one(difference: float, p_value: float) -> dict[str, Any]:
    paired = {"a": 0.5, "b": 0.5 + difference, "difference": difference, "standard_error": 0.01, "p_value": p_value}
    return {**paired, "wins": 1, "losses": 2, "ties": 3}


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the training was given; `outcome` is what comes of it."""
    held: dict[str, Any] = {"outcome": {}}

    def adapt_model(base: str, texts: Any, out: Path, report: Any, mixing: Any, judged: Any, **options: Any) -> Any:
        held.update(base=base, texts=texts, out=out, mixing=mixing, judged=judged, options=options)
        found = {"stages": {"bm25": one(0.0, 1.0), "hybrid": one(0.02, 0.2)}, "decides": "hybrid", "worse": []}
        found |= {"folder": str(out), "steps": 5, "seconds": 3.0, "share": 0.5, "examples": 10, "better": True}
        found |= {"queries": 2, "scored": 3, "measured_on": "judged" if judged else "made"}
        return {**found, **held["outcome"]}

    monkeypatch.setattr(sidecar.models.library, "adapt_model", adapt_model)
    return held


def test_it_reads_the_index_and_says_what_would_give_it_the_model(articles: Command, given: dict[str, Any]) -> None:
    done = articles("adapt", "articles", "--model", "./base", "--out", "out", "--minutes", "2")
    assert sorted(given["texts"]) == ["1", "2", "3"]
    assert given["texts"]["2"] == ["Ducks", "ducks swim on the pond"]
    assert (given["base"], given["out"], given["judged"]) == (str(Path("base").resolve()), Path("out"), None)
    assert set(given["mixing"]) == {"window", "sparse_boost", "rerank_weight"}
    assert (given["options"]["minutes"], given["options"]["learning_rate"]) == (2, 0.0)
    assert "3 documents are read" in done.stderr
    assert "made queries flatter an adapted model" in done.stdout
    assert "hybrid is better by 0.0200, which may be chance (p 0.2000)" in done.stdout
    assert done.stdout.index("cherche serve --model NAME=out") < done.stdout.index("cherche backfill articles")


def test_judged_documents_are_measured_on_and_not_trained_on(articles: Command, given: dict[str, Any]) -> None:
    done = articles("adapt", "articles", "--model", "./base", *judged(articles))
    assert list(given["texts"]) == ["2"]
    documents, queries, judgements = given["judged"]
    assert (sorted(documents), queries, judgements) == (
        ["1", "2", "3"],
        {"q1": "aspirin", "q2": "heart"},
        {"q1": {"1": 1}, "q2": {"3": 1}},
    )
    assert "flatter" not in done.stdout
    assert "2 judged queries" in done.stdout


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ({"better": False, "worse": ["sparse"]}, "it is not better: sparse found less, beyond chance"),
        ({"better": False, "stages": {"hybrid": one(-0.01, 0.3)}}, "it is not better: hybrid -0.0100 (p 0.3000)"),
        ({"stages": {"hybrid": one(0.02, 0.01)}}, "hybrid is better by 0.0200 (p 0.0100)"),
    ],
)
def test_it_says_whether_it_is_better(
    articles: Command, given: dict[str, Any], outcome: dict[str, Any], said: str
) -> None:
    given["outcome"] = outcome
    done = articles("adapt", "articles", "--model", "./base")
    assert said in done.stdout
    assert ("to give it the index" in done.stdout) == outcome.get("better", True)


def test_what_a_running_sidecar_cannot_do_is_refused(articles: Command, given: dict[str, Any]) -> None:
    assert "leave out --upgrade" in articles("adapt", "articles", "--upgrade", "--yes", code=2).stderr
    refused = articles("adapt", "articles", code=1)
    assert "has the model 'fake' of" in refused.stderr
    assert "name its folder on this machine with --model" in refused.stderr
    assert "texts" not in given
