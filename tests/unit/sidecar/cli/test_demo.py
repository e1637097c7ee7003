"""The report of the demo."""

from __future__ import annotations

import pytest

from sidecar.cli.demo import found_beyond_bm25, print_report


@pytest.mark.parametrize(
    ("bm25", "sparse", "reranked", "beyond"),
    [(None, 3, None, True), (11, None, 1, True), (10, 1, 1, False), (None, 4, 4, False), (None, None, None, False)],
)
def test_a_search_counts_that_bm25_does_not_answer(
    bm25: int | None, sparse: int | None, reranked: int | None, beyond: bool
) -> None:
    ranks = {"bm25": bm25, "sparse": sparse, "hybrid": None, "hybrid+rerank": reranked}
    assert found_beyond_bm25(ranks) is beyond


def test_a_target_that_no_mode_finds_is_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    ranks = {"bm25": None, "sparse": 2, "hybrid": 5, "hybrid+rerank": 1}
    row = {"search": "wait for a lock", "target": "threading.Lock", "ranks": ranks}
    print_report({"documents": 1234, "seconds": 9.6, "searches": [row]})
    printed = capsys.readouterr().out
    assert [line.split()[-4:] for line in printed.splitlines() if "threading.Lock" in line] == [["–", "2", "5", "1"]]
    assert "In 1 of 1 searches" in printed
    assert "1,234 documents, 10 s in all." in printed
