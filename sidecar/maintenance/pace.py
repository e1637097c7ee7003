"""Keeps a backfill from slowing its cluster down: asks how busy it is, probes its searches, pauses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from sidecar.errors import ChercheError, Code, unavailable
from sidecar.maintenance.throttle import PROBES, Latency, Throttle
from sidecar.pipeline.context import Context
from sidecar.values.index import TextField
from sidecar.values.maintenance import BackfillOptions
from sidecar.values.search import Query

_LOOK = 1.0  # seconds between two looks at the cluster
_PROBE = 0.1
_PROBE_TIMEOUT = 10.0
_LONGEST_BASELINE = 20.0


@dataclass(slots=True)
class Guard:
    """Lets work pass while the cluster keeps up.

    Attributes
    ----------
    index : str
    texts : sequence of str
        What probes search for, in turn.
    fields : tuple of TextField
    paused : str
        Why nothing passes at this moment.
    notes : list of str
        What could not be watched.
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

    async def pass_(self) -> None:
        """Return when work may go on.

        Raises
        ------
        ChercheError
            UNAVAILABLE where the cluster stays slow for `options.patience` seconds without it.
        """
        since = self.context.clock()
        try:
            while self.paused_by_searches():
                if self.context.clock() - since > self.options.patience:
                    raise unavailable(
                        f"index {self.index!r}: {self.paused}, although nothing was written for "
                        f"{self.options.patience:g} s",
                        "run the command again when the cluster has recovered: it goes on where it stopped",
                    )
                await self.context.sleep(_LOOK)
            await self._look()
            if self.throttle.pause:
                self.paused = self.throttle.reason
                await self.context.sleep(self.throttle.pause)
        finally:
            self.paused = ""

    def paused_by_searches(self) -> str:
        """Why searches ask for a pause; also kept in `paused`."""
        self.paused = self.latency.reason()
        return self.paused

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
