"""The files of a backfill: its checkpoint, and the documents that were not encoded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sidecar.cli.ledger import Checkpoint, Run, ledger
from sidecar.cli.output import Progress as Line
from sidecar.errors import ChercheError, Code, invalid
from sidecar.values.maintenance import Estimate, NotDone, Progress

MISSING = NotDone("1", "books", invalid("broken", "mend it"))


def test_a_checkpoint_is_replaced_whole_and_gone_once_it_is_empty(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "books.json")
    assert checkpoint.read() == ""
    checkpoint.write("first")
    checkpoint.write("second")
    assert checkpoint.read() == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["books.json"]
    checkpoint.write("")
    checkpoint.write("")
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "books.json.new").mkdir()  # where the fresh one goes
    with pytest.raises(ChercheError, match=r"books\.json cannot be written: Is a directory") as refused:
        Checkpoint(tmp_path / "books.json").write("{}")
    assert refused.value.code is Code.FAILED_PRECONDITION
    assert "free space" in refused.value.next_step


def test_a_report_is_made_with_its_first_document(tmp_path: Path) -> None:
    path = tmp_path / "books.jsonl"
    with ledger(path, append=False) as report:
        assert not path.exists()
        report.add(MISSING)
        [line] = path.read_text().splitlines()
    assert json.loads(line) == {
        "id": "1",
        "index": "books",
        "code": "INVALID_ARGUMENT",
        "reason": "broken",
        "next_step": "mend it",
    }


@pytest.mark.parametrize(("append", "lines"), [(True, 2), (False, 1)])
def test_a_report_goes_on_only_where_its_run_does(tmp_path: Path, append: bool, lines: int) -> None:
    path = tmp_path / "books.jsonl"
    path.write_text("{}\n")
    with ledger(path, append=append) as report:
        report.add(MISSING)
    assert len(path.read_text().splitlines()) == lines


def test_a_run_sums_up_its_events(tmp_path: Path) -> None:
    run = Run(Checkpoint(tmp_path / "c"), Line(False), cost_per_hour=2.0)
    run.take(Estimate(10, 8, 4, 1800.0, 2, 3, notes=("a sample",)))
    run.take(Progress(encoded=3, conflicts=2, failed=1, checkpoint="here", notes=("slow",)))
    assert run.checkpoint.read() == "here"
    run.seconds = 2.0
    summary = run.summary("books", tmp_path / "report")
    assert summary["estimate"]["cost"] == 1.0
    assert (summary["encoded"], summary["outrun"], summary["failed"]) == (3, 2, 1)
    assert summary["documents_per_second"] == 1.5
    assert summary["report"] == str(tmp_path / "report")
    assert run.notes() == ("a sample", "slow")
