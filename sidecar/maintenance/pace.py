"""Keeps a backfill from slowing its cluster down: it reads the load, times probe searches, and pauses.

The cluster publishes totals and no percentiles, so the p99 here is that of probe searches of our own.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from sidecar.errors import ChercheError, Code, unavailable
from sidecar.pipeline.context import Context
from sidecar.values.first_stage import Query
from sidecar.values.index import TextField
from sidecar.values.maintenance import BackfillOptions, Load

# The fewest values of which the 99th percentile is not the largest one.
PROBES = 100
NOTICEABLE = 0.005  # seconds: less is the clock's and the scheduler's
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 30.0
QUEUED_PER_THREAD = 2.0
_LOOK = 1.0  # seconds between two readings of the load
_PROBE = 0.1  # seconds between two probes
_PROBE_TIMEOUT = 10.0
_LONGEST_BASELINE = 20.0  # seconds for the probes before the run: on a slow cluster fewer have to do


def p99(seconds: Sequence[float]) -> float:
    """The value that 99 % of the values do not exceed (nearest rank).

    >>> p99([0.001] * 98 + [0.002, 0.003])
    0.002
    """
    ranked = sorted(seconds)
    return ranked[math.ceil(0.99 * len(ranked)) - 1]


@dataclass(slots=True)
class Latency:
    """Probe searches: `before` the backfill began, and the last hundred since.

    Attributes
    ----------
    slowdown : float
        Share by which their p99 may rise.
    before : list of float
        Seconds each.
    """

    slowdown: float
    before: list[float] = field(default_factory=list)
    since: deque[float] = field(default_factory=lambda: deque(maxlen=PROBES))

    def reason(self) -> str:
        """Why to pause; "" where searches are as fast as they were, or where there are too few probes to tell."""
        if not self.before or len(self.since) < PROBES:
            return ""
        before, now = p99(self.before), p99(self.since)
        if now <= before * (1 + self.slowdown) or now - before < NOTICEABLE:
            return ""
        return f"searches are slower: p99 of probes {now * 1000:.0f} ms, {before * 1000:.0f} ms before"


@dataclass(slots=True)
class Throttle:
    """Doubles the pause before each write while the cluster refuses or queues, halves it while it does not.

    Attributes
    ----------
    pause : float
        Seconds to wait now.
    reason : str
        Why to wait; "" where the cluster keeps up.
    """

    pause: float = 0.0
    reason: str = ""
    _rejected: int | None = None

    def see(self, load: Load) -> None:
        """Adjust the pause to a reading of the load.

        >>> throttle = Throttle()
        >>> throttle.see(Load(rejected=5, queued=0, threads=4, searches=0, search_seconds=0.0))
        >>> throttle.see(Load(rejected=6, queued=0, threads=4, searches=0, search_seconds=0.0))
        >>> throttle.pause, throttle.reason
        (0.25, 'the cluster refused 1 requests')
        """
        # Counters of a node that restarts begin at 0 again.
        refused = 0 if self._rejected is None else max(0, load.rejected - self._rejected)
        self._rejected = load.rejected
        if refused:
            self._slower(f"the cluster refused {refused} requests")
        elif load.queued > QUEUED_PER_THREAD * max(1, load.threads):
            self._slower(f"{load.queued} requests wait in the cluster's queues")
        else:
            self.reason = ""
            self.pause = self.pause / 2 if self.pause > FIRST_PAUSE else 0.0

    def refused(self) -> None:
        """Our own write was refused with 429 until its retries ran out."""
        self._slower("the cluster refuses writes")

    def _slower(self, reason: str) -> None:
        self.reason = reason
        self.pause = min(max(FIRST_PAUSE, self.pause * 2), LONGEST_PAUSE)


@dataclass(slots=True)
class Pacer:
    """Lets work proceed while the cluster keeps up.

    Attributes
    ----------
    index : str
    texts : sequence of str
        What probes search for, in turn.
    fields : tuple of TextField
    paused : str
        Why work waits now; "" where it does not.
    notes : list of str
        What could not be measured.
    """

    context: Context
    index: str
    texts: Sequence[str]
    fields: tuple[TextField, ...]
    options: BackfillOptions
    paused: str = ""
    notes: list[str] = field(default_factory=list)
    throttle: Throttle = field(default_factory=Throttle)
    latency: Latency = field(init=False)
    _next_look: float = 0.0
    _probed: int = 0

    def __post_init__(self) -> None:
        self.latency = Latency(self.options.search_slowdown)

    @asynccontextmanager
    async def watching(self) -> AsyncGenerator[None, None]:
        """Measure searches before the work begins, and go on as long as the block lasts."""
        load = await self.context.engine.load()
        if load is None or not self.options.search_slowdown or not self.texts:
            yield
            return
        started = self.context.clock()
        while len(self.latency.before) < PROBES and self.context.clock() - started < _LONGEST_BASELINE:
            await self._probe(self.latency.before.append)
        watch = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def proceed(self) -> None:
        """Return when work may go on.

        Raises
        ------
        ChercheError
            UNAVAILABLE where the cluster stays slow for `options.patience` seconds without it.
        """
        since = self.context.clock()
        try:
            while reason := self.latency.reason():
                self.paused = reason
                if self.context.clock() - since > self.options.patience:
                    raise unavailable(
                        f"index {self.index!r}: {self.paused}, although nothing was written for "
                        f"{self.options.patience:g} s",
                        "run the command again when the cluster has recovered: it goes on where it stopped",
                    )
                await self.context.sleep(_LOOK)
            self.paused = ""
            await self._look()
            if self.throttle.pause:
                self.paused = self.throttle.reason
                await self.context.sleep(self.throttle.pause)
        finally:
            self.paused = ""

    async def _look(self) -> None:
        now = self.context.clock()
        if now < self._next_look:
            return
        self._next_look = now + _LOOK
        load = await self.context.engine.load()
        if load is not None:
            self.throttle.see(load)

    async def _watch(self) -> None:
        try:
            while True:
                await self._probe(self.latency.since.append)
                await asyncio.sleep(_PROBE)
        except ChercheError as error:
            self.latency.since.clear()
            self.notes.append(f"searches are watched no longer: {error}")

    async def _probe(self, note: Callable[[float], None]) -> None:
        """Time one search; one that fails took as long as it was waited for."""
        text = self.texts[self._probed % len(self.texts)]
        self._probed += 1
        # No document has such a field: hits come without their text.
        query = Query(text, mode="bm25", fields=self.fields, source_fields=("_id",), timeout=_PROBE_TIMEOUT)
        started = self.context.clock()
        try:
            await self.context.engine.search(self.index, query)
        except ChercheError as error:
            if not error.retryable and error.code is not Code.DEADLINE_EXCEEDED:
                raise
            note(_PROBE_TIMEOUT)
            return
        note(self.context.clock() - started)
