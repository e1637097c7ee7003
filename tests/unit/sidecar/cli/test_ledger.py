"""The files of a backfill: its checkpoint, and the documents that were not encoded."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from sidecar.cli.ledger import ESTIMATING, Checkpoint, Run, ledger
from sidecar.cli.output import Progress as Line
from sidecar.errors import ChercheError, Code, invalid
from sidecar.values.maintenance import BackfillEvent, BackfillOptions, Estimate, NotDone, Progress

if TYPE_CHECKING:
    from sidecar.client.client import Client

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


def test_progress_names_its_phase() -> None:
    shown: list[str] = []

    class Noted(Line):
        def __call__(self, line: str) -> None:
            shown.append(line)

    run = Run(Checkpoint(Path("unused")), Noted(False), cost_per_hour=None)
    run.take(Estimate(1_000, 800, 4, 1800.0, 2, 3))
    run.started -= 10
    run.take(Progress(read=500, encoded=400, paused="searches take longer"))
    run.take(Progress(round=2, read=1_020, encoded=810))
    assert shown[0].startswith("round 1: 500 of 1,000 read, 400 of about 800 encoded, 40/s, ")
    assert shown[0].endswith("left — paused: searches take longer")
    assert shown[1] == "round 2, what was written meanwhile: 810 encoded in all"


async def test_a_run_says_that_it_estimates_before_anything_is_known(tmp_path: Path) -> None:
    shown: list[str] = []

    class Noted(Line):
        def __call__(self, line: str) -> None:
            shown.append(line)

    class Silent:
        async def backfill_index(self, index: str, options: BackfillOptions) -> AsyncIterator[BackfillEvent]:
            assert shown == [ESTIMATING]
            yield Estimate(1, 0, 1, 0.0, 0, 0)

    run = Run(Checkpoint(tmp_path / "c"), Noted(False), cost_per_hour=None)
    assert await run.follow(cast("Client", Silent()), "books", BackfillOptions()) is None
    assert run.estimate is not None
