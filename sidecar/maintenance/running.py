"""Feeds, backfills and upgrades that this sidecar works on now, and the last ones that ended."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from sidecar.errors import ChercheError
from sidecar.values.documents import IngestResult
from sidecar.values.maintenance import Estimate, NotDone, Progress, Switched

FEED = "feed"
KEPT = 16
"""Jobs that ended and are still listed."""
_EXAMPLES = 5
"""Documents of a job that were not done, and are named."""

E = TypeVar("E", Estimate | Progress | NotDone, Estimate | Progress | NotDone | Switched)


@dataclass(slots=True)
class Job:
    """One feed, backfill or step of an upgrade.

    Attributes
    ----------
    kind : str
        "feed", "backfill", "prepare", "switch" or "rollback".
    index : str
        As it was named.
    began, ended : float
        On the clock of `Jobs`; `ended` is None while it goes on.
    estimate : Estimate or None
        None until it is made.
    progress : Progress
    serving : tuple of str
        At the end of an upgrade's step, the indices that serve the name.
    not_done : list of NotDone
        Some of them.
    error : ChercheError or None
        What ended it early.
    is_cancelled : bool
        Whether whoever began it went away.
    """

    kind: str
    index: str
    began: float
    ended: float | None = None
    estimate: Estimate | None = None
    progress: Progress = field(default_factory=Progress)
    serving: tuple[str, ...] = ()
    not_done: list[NotDone] = field(default_factory=list)
    error: ChercheError | None = None
    is_cancelled: bool = False

    def take(self, event: Estimate | Progress | NotDone | Switched) -> None:
        """Note one message."""
        match event:
            case Estimate():
                self.estimate = event
            case Progress():
                self.progress = event
            case Switched():
                self.serving = event.serving
            case NotDone():
                if len(self.not_done) < _EXAMPLES:
                    self.not_done.append(event)

    def count(self, result: IngestResult) -> None:
        """Note one document of a feed."""
        if result.error is None:
            self.progress = self.progress.plus({"read": 1, "encoded": 1})
        else:
            self.progress = self.progress.plus({"read": 1, "failed": 1})
            self.take(NotDone(result.id, self.index, result.error))

    @property
    def phase(self) -> str:
        """In one word, or some: what it does now, or how it ended."""
        if self.error is not None:
            return "failed"
        if self.ended is not None:
            return "stopped" if self.is_cancelled else "done"
        if self.kind == FEED:
            return "going on"
        if self.estimate is None:
            return "estimating"
        if self.progress.paused:
            return "paused"
        return f"round {self.progress.round}"


@dataclass(slots=True)
class Jobs:
    """What runs, in the order in which it began, and then what ended last.

    Attributes
    ----------
    clock : callable
        Monotonic seconds.
    """

    clock: Callable[[], float] = time.monotonic
    _running: list[Job] = field(default_factory=list)
    _ended: deque[Job] = field(default_factory=lambda: deque(maxlen=KEPT))

    async def follow(self, kind: str, index: str, events: AsyncGenerator[E, None]) -> AsyncGenerator[E, None]:
        """The same events of a backfill or an upgrade, noted as they pass."""
        with self._going(kind, index) as job:
            try:
                async with aclosing(events):
                    async for event in events:
                        job.take(event)
                        yield event
            finally:
                self._ended.appendleft(job)

    async def feed(self, index: str, results: AsyncGenerator[IngestResult, None]) -> AsyncGenerator[IngestResult, None]:
        """The same results of a feed, counted as they pass; there are too many feeds to tell of those that ended."""
        with self._going(FEED, index) as job:
            async with aclosing(results):
                async for result in results:
                    job.count(result)
                    yield result

    @contextmanager
    def _going(self, kind: str, index: str) -> Iterator[Job]:
        job = Job(kind, index, self.clock())
        self._running.append(job)
        try:
            yield job
        except ChercheError as error:
            job.error = error
            raise
        except BaseException:
            job.is_cancelled = True
            raise
        finally:
            job.ended = self.clock()
            self._running.remove(job)

    def listed(self) -> list[Job]:
        """Those that run, then those that ended, the last one first."""
        return [*self._running, *self._ended]


def job_json(job: Job, now: float) -> dict[str, Any]:
    """A job as JSON: documents, and seconds up to `now`."""
    seconds = (now if job.ended is None else job.ended) - job.began
    counts = asdict(job.progress)
    del counts["checkpoint"]
    return {
        "kind": job.kind,
        "index": job.index,
        "phase": job.phase,
        "runs": job.ended is None,
        "seconds": round(seconds, 1),
        "ago": None if job.ended is None else round(now - job.ended, 1),
        "to_encode": job.estimate.to_encode if job.estimate else None,
        "documents": job.estimate.documents if job.estimate else None,
        "estimated_seconds": round(job.estimate.seconds, 1) if job.estimate else None,
        **counts,
        "serving": list(job.serving),
        "not_done": [{"id": one.id, "reason": one.error.reason} for one in job.not_done],
        "error": None if job.error is None else {"reason": job.error.reason, "next_step": job.error.next_step},
    }
