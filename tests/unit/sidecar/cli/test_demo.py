"""The report of the demo."""

from __future__ import annotations

import pytest

from sidecar.cli.demo import MODES, in_top_3, print_report


def test_a_target_below_the_third_hit_does_not_count() -> None:
    rows = [{"ranks": dict.fromkeys(MODES, rank)} for rank in (1, 3, 4, None)]
    assert in_top_3(rows) == dict.fromkeys(MODES, 2)


def test_a_target_that_no_mode_finds_is_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    ranks = {"bm25": None, "sparse": 2, "hybrid": 5, "hybrid+rerank": 1}
    row = {"search": "wait for a lock", "target": "threading.Lock", "ranks": ranks}
    rows = {"searches": [row], "further": [row]}
    print_report({"documents": 1234, "seconds": 9.6, **rows, "in_top_3": {name: in_top_3([row]) for name in rows}})
    printed = capsys.readouterr().out
    for name, cells in (("threading.Lock", ["–", "2", "5", "1"]), ("in the top 3", ["0", "1", "0", "1"])):
        assert [line.split()[-4:] for line in printed.splitlines() if name in line] == [cells, cells]
    assert "1,234 documents, 10 s in all." in printed
