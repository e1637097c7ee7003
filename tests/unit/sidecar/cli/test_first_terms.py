"""First terms: recall against all terms, and what is chosen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sidecar.cli.first_terms import TERMS, FirstTerms, fewest_terms, measured_recall
from sidecar.cli.output import Output
from sidecar.cli.session import Session
from sidecar.values.search import Hit, ScoreParts, SearchRequest, SparseOutcome
from tests.unit.sidecar.cli.conftest import Command, judged

EXACT = FirstTerms(0, p50=20.0)
PARTS = ScoreParts(0.0, 0.0, 0.0, 1)


class Clusters:
    """Answers a search of few terms without the last hits; of twelve or more with all."""

    def __init__(self) -> None:
        self.asked: list[SearchRequest] = []

    async def search(self, request: SearchRequest) -> Any:
        self.asked.append(request)
        lost = {0: 0, 8: 2, 12: 1}.get(request.first_terms or 0, 0)
        hits = [Hit(str(number), number, 1.0, PARTS, {}) for number in range(10 - lost)]
        found = SparseOutcome(first_terms=request.first_terms or 0)
        return type("Result", (), {"hits": tuple(hits), "sparse": found})()


async def test_recall_is_the_share_of_the_hits_of_all_terms() -> None:
    client: Any = Clusters()
    rows = await measured_recall(Session(Output(quiet=True)), client, "books", ["one", "two"])
    assert [(row.terms, row.recall, row.two_phases) for row in rows] == [
        (0, 1.0, 0.0),
        (8, pytest.approx(0.8), 1.0),
        (12, pytest.approx(0.9), 1.0),
        *((terms, 1.0, 1.0) for terms in TERMS[2:]),
    ]
    assert {(one.mode, one.rerank, one.size) for one in client.asked} == {("hybrid", False, 100)}
    assert all(row.p95 >= row.p50 > 0 for row in rows)


@pytest.mark.parametrize(
    ("change", "chosen"),
    [
        ({}, 12),
        ({"recall": 0.9899}, 0),
        ({"p50": 18.5}, 0),
        ({"two_phases": 0.0}, 0),
    ],
    ids=["enough", "too little recall", "hardly faster", "one phase all the same"],
)
def test_the_fewest_terms_that_keep_the_recall_and_save_time(change: dict[str, float], chosen: int) -> None:
    few, enough = FirstTerms(8, 0.95, 1.0, p50=9.0), FirstTerms(12, 0.99, 1.0, p50=10.0)
    assert fewest_terms([EXACT, few, replace(enough, **change)], 0.99) == chosen  # type: ignore[arg-type]  # a field of each


def test_tune_measures_it_where_asked_and_an_engine_of_one_phase_keeps_one(articles: Command) -> None:
    given = (*judged(articles), "--folds", "2")
    assert "first_terms" not in articles.json("tune", "articles", *given)
    found = articles.json("tune", "articles", *given, "--recall", "0.99")["first_terms"]
    assert [row["terms"] for row in found["measured"]] == [0, *TERMS]
    assert (found["choice"], found["written"], found["least_recall"]) == (0, False, 0.99)
    printed = articles("tune", "articles", *given, "--recall", "0.99").stdout
    assert "recall@100" in printed
    assert "the choice is one phase of all terms: recall at least 0.99" in printed


def test_the_choice_is_written(articles: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.cli.tune.fewest_terms", lambda rows, least: 12)
    given = ("articles", *judged(articles), "--folds", "2", "--recall", "0.99")
    assert not articles.json("tune", *given, "--dry-run")["first_terms"]["written"]
    assert articles.json("tune", *given)["first_terms"]["written"]
    assert not articles.json("tune", *given)["first_terms"]["written"]  # it has it by now
