"""The report of the demo."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.cli.demo import MODES, in_top_3, next_steps, print_report


def test_a_target_below_the_third_hit_does_not_count() -> None:
    rows = [{"ranks": dict.fromkeys(MODES, rank)} for rank in (1, 3, 4, None)]
    assert in_top_3(rows) == dict.fromkeys(MODES, 2)


def test_a_target_that_no_mode_finds_is_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    ranks = {"bm25": None, "sparse": 2, "hybrid": 5, "hybrid+rerank": 1}
    row = {"search": "wait for a lock", "target": "threading.Lock", "ranks": ranks}
    rows = {"searches": [row], "further": [row]}
    print_report(
        {"documents": 1234, "seconds": 9.6, "shown": [], **rows, "in_top_3": {name: in_top_3([row]) for name in rows}}
    )
    printed = capsys.readouterr().out
    for name, cells in (("threading.Lock", ["–", "2", "5", "1"]), ("in the top 3", ["0", "1", "0", "1"])):
        assert [line.split()[-4:] for line in printed.splitlines() if name in line] == [cells, cells]
    assert "1,234 documents, 10 s in all." in printed


def test_a_search_shows_its_hits_with_their_terms_and_their_rank_without_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    hits = [
        {
            "id": "threading.Lock",
            "text": "A primitive lock.",
            "terms": {"lock": 1.5, "mutex": 0.25},
            "bm25": None,
        },
        {"id": "asyncio.Lock", "text": "A lock for tasks.", "terms": {}, "bm25": 4},
    ]
    none = {"searches": [], "further": []}
    report = {"documents": 2, "seconds": 1.0, "shown": [{"search": "wait for a lock", "hits": hits}], **none}
    print_report({**report, "in_top_3": {name: in_top_3([]) for name in none}})
    assert capsys.readouterr().out.splitlines()[:5] == [
        "wait for a lock",
        "  1. threading.Lock: A primitive lock.",
        "     terms: lock 1.5, mutex 0.25; with BM25 alone not among the first 100",
        "  2. asyncio.Lock: A lock for tasks.",
        "     terms: none; with BM25 alone on rank 4",
    ]


def test_it_ends_with_where_the_index_is() -> None:
    assert "demo --keep" in next_steps(None)
    assert "/data/demo.sqlite" in next_steps(Path("/data/demo.sqlite"))
