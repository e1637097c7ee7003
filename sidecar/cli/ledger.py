"""The checkpoint file of a backfill or upgrade, and what a run reports."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from sidecar.cli.failures import error_json, writing
from sidecar.cli.output import Progress as Line
from sidecar.cli.session import suggesting
from sidecar.errors import ChercheError
from sidecar.values.maintenance import BackfillEvent, BackfillOptions, Estimate, NotDone, Progress

if TYPE_CHECKING:
    from sidecar.client.client import Client
from sidecar.cli.output import duration, size

# JSON key to attribute of `Progress`. Scripts read the conflicts under the name that the wire gives them.
COUNTS = {
    "read": "read",
    "encoded": "encoded",
    "kept": "kept",
    "outrun": "conflicts",
    "gone": "gone",
    "skipped": "skipped",
    "failed": "failed",
}


ESTIMATING = "estimating: a sample of the documents is encoded"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The file an interrupted run leaves; gone once a run ends."""

    path: Path

    def read(self) -> str:
        """What it holds; "" where there is none."""
        return self.path.read_text(encoding="utf-8") if self.path.is_file() else ""

    def write(self, text: str) -> None:
        """Replace it at once, so that a kill leaves the one before or this one."""
        with writing(self.path):
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
        record = {"id": one.id, "index": one.index, **error_json(one.error)}
        with writing(self._path):
            if self._file is None:
                self._file = self._path.open("a", encoding="utf-8")
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


def estimated(estimate: Mapping[str, Any]) -> dict[str, object]:
    """Rows of an estimate, as `Run.summary` has it."""
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
    return shown


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
        self.line(ESTIMATING)
        try:
            async for event in client.backfill_index(index, options):
                self.take(event)
        except ChercheError as error:
            return await suggesting(error, index, client)
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
        """Warnings of the sidecar."""
        return (*(self.estimate.notes if self.estimate else ()), *self.progress.notes)

    def summary(self, index: str, report: Path) -> dict[str, Any]:
        """The estimate and the outcome."""
        estimate = {} if self.estimate is None else {k: v for k, v in asdict(self.estimate).items() if k != "notes"}
        if self.cost_per_hour is not None and self.estimate is not None:
            estimate["cost"] = round(self.estimate.seconds / 3600 * self.cost_per_hour, 4)
        done = {key: getattr(self.progress, name) for key, name in COUNTS.items()}
        return {
            "index": index,
            "estimate": {**estimate, "seconds": round(estimate.get("seconds", 0.0), 3)},
            "finished": self.progress.finished,
            "rounds": self.progress.round,
            **done,
            "seconds": round(self.seconds, 3),
            "documents_per_second": round(self.progress.encoded / self.seconds, 1) if self.seconds else 0.0,
            "report": str(report) if self.progress.failed else None,
        }

    def _line(self, progress: Progress) -> str:
        said = f" — paused: {progress.paused}" if progress.paused else ""
        if progress.round > 1:
            return f"round {progress.round}, what was written meanwhile: {progress.encoded:,} encoded in all{said}"
        rate = progress.encoded / max(1e-9, time.monotonic() - self.started)
        wanted = self.estimate.to_encode if self.estimate else 0
        left = max(0, wanted - progress.encoded)
        eta = f", {duration(left / rate)} left" if rate and left else ""
        read = f"{progress.read:,} of {self.estimate.documents:,} read, " if self.estimate else ""
        return f"round 1: {read}{progress.encoded:,} of about {wanted:,} encoded, {rate:,.0f}/s{eta}{said}"
