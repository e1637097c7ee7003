"""``cherche backfill``: encode what an index holds, while it is in use."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from sidecar.cli.failures import FAILURE, error_json, failure
from sidecar.cli.output import Progress as Line
from sidecar.cli.output import size, table
from sidecar.cli.session import Session, verb
from sidecar.errors import ChercheError
from sidecar.life import BackfillEvent, BackfillOptions, Estimate, NotDone, Progress

if TYPE_CHECKING:
    from sidecar.rpc.client import Client

_COUNTS = ("read", "encoded", "kept", "outrun", "gone", "skipped", "failed")


@verb("backfill")
@click.argument("index")
@click.option("--dry-run", is_flag=True, help="Only estimate time, bytes and cost.")
@click.option("--cost-per-hour", type=click.FloatRange(0), help="Of the encoding machine, for the estimate.")
@click.option(
    "--checkpoint",
    "checkpoint_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where an interrupted run goes on from.  [default: INDEX.backfill.json]",
)
@click.option(
    "--report",
    "report_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where documents that were not done go.  [default: INDEX.backfill.jsonl]",
)
@click.option(
    "--search-slowdown",
    type=click.FloatRange(0),
    default=0.2,
    show_default=True,
    help="Pause while the p99 of probe searches is this share above what it was before; 0 sends no probes.",
)
@click.option("--ignore-disk", is_flag=True, help="Go on where the disk may not suffice.")
@click.option(
    "--shadow", is_flag=True, help="Into a new index, with the mapping of today, that takes this one's place."
)
def backfill(
    session: Session,
    index: str,
    dry_run: bool,
    cost_per_hour: float | None,
    checkpoint_file: Path | None,
    report_file: Path | None,
    search_slowdown: float,
    ignore_disk: bool,
    shadow: bool,
) -> None:
    """Encode what an index holds, while it is in use.

    Documents without weights or codes are encoded, those that wait for them, and those whose text is
    another than was encoded; the others are only read. A document that somebody writes meanwhile
    keeps the newer write and is encoded again. Interrupted, by whatever, it goes on when it is run
    again. Documents that were not done are written to a file, one JSON object each: id, index, why,
    code, reason, next_step. Exits with 1 if any failed; those without text do not count.

    With --shadow nothing is written into the index: a new one is filled, without weights in _source,
    and the alias INDEX is switched to it; the same as cherche upgrade without another model.
    """
    if shadow:
        _into_shadow(session, index, BackfillOptions("", dry_run, search_slowdown, ignore_disk))
        return
    names = (checkpoint_file or Path(f"{index}.backfill.json"), report_file or Path(f"{index}.backfill.jsonl"))
    checkpoint = Checkpoint(names[0])
    options = BackfillOptions("" if dry_run else checkpoint.read(), dry_run, search_slowdown, ignore_disk)
    run = Run(checkpoint, session.output.progress(), cost_per_hour)
    with ledger(names[1], append=bool(options.checkpoint)) as run.ledger:
        error = session.run(lambda client: run.follow(client, index, options), index=index)
    summary = run.summary(index, names[1])
    for note in run.notes():
        session.output.note(f"note: {note}")
    session.output.data(summary, lambda: _print(summary))
    if error is not None:
        raise failure(error, session.output.as_json)
    if run.progress.failed:
        session.output.note(f"{run.progress.failed} failed: see {names[1]}")
        raise SystemExit(FAILURE)


def _into_shadow(session: Session, index: str, settings: BackfillOptions) -> None:
    """An upgrade to the same model."""
    from sidecar.cli.upgrade import Steps
    from sidecar.types import IndexOptions

    steps = Steps(session, index, IndexOptions(), "", settings)

    async def run(client: Client) -> None:
        if await steps.take(client, "prepare") is not None:
            await steps.take(client, "switch")

    session.run(run, index=index)
    steps.show()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The file an interrupted run leaves; gone once a run ends."""

    path: Path

    def read(self) -> str:
        """What it holds; "" where there is none."""
        return self.path.read_text(encoding="utf-8") if self.path.is_file() else ""

    def write(self, text: str) -> None:
        """Replace it at once, so that a kill leaves the one before or this one."""
        if not text:
            self.path.unlink(missing_ok=True)
            return
        fresh = self.path.with_name(self.path.name + ".new")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(self.path)


class Ledger:
    """The file of documents that were not done: made with the first of them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def add(self, one: NotDone) -> None:
        """Note one document."""
        if self._file is None:
            self._file = self._path.open("a", encoding="utf-8")
        record = {"id": one.id, "index": one.index, "why": one.why, **error_json(one.error)}
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file, if one was made."""
        if self._file is not None:
            self._file.close()


@contextmanager
def ledger(path: Path, *, append: bool) -> Iterator[Ledger]:
    """A ledger; that of an earlier run goes on where the run does, else it is removed."""
    if not append and path.is_file():
        path.unlink()
    found = Ledger(path)
    try:
        yield found
    finally:
        found.close()


@dataclass(slots=True)
class Run:
    """One backfill as the command sees it."""

    checkpoint: Checkpoint
    line: Line
    cost_per_hour: float | None
    ledger: Ledger | None = None
    estimate: Estimate | None = None
    progress: Progress = field(default_factory=Progress)
    started: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    async def follow(self, client: Client, index: str, options: BackfillOptions) -> ChercheError | None:
        """Take in all messages; the error that ended the run early, if one did."""
        try:
            async for event in client.backfill_index(index, options):
                self.take(event)
        except ChercheError as error:
            return error
        finally:
            self.end()
        return None

    def take(self, event: BackfillEvent) -> None:
        """Take in one message."""
        if isinstance(event, Estimate):
            self.estimate, self.started = event, time.monotonic()
        elif isinstance(event, NotDone):
            assert self.ledger is not None
            self.ledger.add(event)
        else:
            self.progress = event
            self.checkpoint.write(event.checkpoint)
            self.line(self._line(event))

    def end(self) -> None:
        """Stop the clock and wipe the line."""
        self.seconds = time.monotonic() - self.started
        self.line.close()

    def notes(self) -> tuple[str, ...]:
        """What the sidecar wants people to know."""
        return (*(self.estimate.notes if self.estimate else ()), *self.progress.notes)

    def summary(self, index: str, report: Path) -> dict[str, Any]:
        """The estimate and what became of it."""
        estimate = {} if self.estimate is None else {k: v for k, v in asdict(self.estimate).items() if k != "notes"}
        if self.cost_per_hour is not None and self.estimate is not None:
            estimate["cost"] = round(self.estimate.seconds / 3600 * self.cost_per_hour, 4)
        done = {name: getattr(self.progress, name) for name in _COUNTS}
        missing = self.progress.failed + self.progress.skipped
        return {
            "index": index,
            "estimate": {**estimate, "seconds": round(estimate.get("seconds", 0.0), 3)},
            "finished": self.progress.finished,
            "rounds": self.progress.round,
            **done,
            "seconds": round(self.seconds, 3),
            "documents_per_second": round(self.progress.encoded / self.seconds, 1) if self.seconds else 0.0,
            "report": str(report) if missing else None,
        }

    def _line(self, progress: Progress) -> str:
        rate = progress.encoded / max(1e-9, time.monotonic() - self.started)
        wanted = self.estimate.to_encode if self.estimate else 0
        left = max(0, wanted - progress.encoded)
        eta = f", {duration(left / rate)} left" if rate and left else ""
        said = f" — paused: {progress.paused}" if progress.paused else ""
        return f"{progress.encoded:,} of about {wanted:,} encoded, {rate:,.0f}/s{eta}{said}"


def duration(seconds: float) -> str:
    """Seconds for reading.

    >>> duration(42), duration(90), duration(7300)
    ('42 s', '1 min 30 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _print(summary: dict[str, Any]) -> None:
    estimate = summary["estimate"]
    shown: dict[str, object] = {
        "documents": f"{estimate.get('documents', 0):,}",
        "to encode, estimated": f"{estimate.get('to_encode', 0):,}",
        "time, estimated": duration(estimate["seconds"]),
        "stored bytes, estimated": size(estimate.get("stored_bytes", 0)),
        "peak bytes, estimated": size(estimate.get("peak_bytes", 0)),
        "free bytes": size(estimate["free_bytes"]) if estimate.get("free_bytes", -1) >= 0 else "not known",
    }
    if "cost" in estimate:
        shown["cost, estimated"] = estimate["cost"]
    if summary["finished"]:
        shown |= {name: summary[name] for name in _COUNTS if summary[name]}
        shown["seconds"] = summary["seconds"]
    table(("", ""), shown.items())
