"""A batcher before a model whose gate a test opens and closes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from sidecar.errors import ChercheError, Code
from sidecar.models.admission import BatchOptions
from sidecar.models.batcher import Batcher
from sidecar.protocols import BatchObserver
from sidecar.testing import FakeModel
from sidecar.values.model import Encoded, Lane


class Recorder(BatchObserver):
    def __init__(self) -> None:
        self.lost = 0
        self.refusals: list[Lane] = []
        self.reasons: list[str] = []
        self.padding = 0

    def batch(self, real: int, padded: int, seconds: float) -> None:
        self.padding += padded - real

    def dropped(self, count: int) -> None:
        self.lost += count

    def refused(self, lane: Lane) -> None:
        self.refusals.append(lane)

    def isolated(self, reason: str) -> None:
        self.reasons.append(reason)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  # set by the thread of a model, which knows no events
            await asyncio.sleep(0.001)


@asynccontextmanager
async def batcher(model: FakeModel, observer: BatchObserver | None = None, **options: float) -> AsyncIterator[Batcher]:
    running = Batcher(model, BatchOptions(**options), observer)  # type: ignore[arg-type]  # numbers
    try:
        yield running
    finally:
        model.gate.set()
        await running.aclose(10)


def texts(count: int, words: int = 3) -> list[str]:
    return [" ".join(f"w{i}x{j}" for j in range(words)) for i in range(count)]


async def busy(running: Batcher, model: FakeModel) -> asyncio.Task[list[Encoded | ChercheError]]:
    """A call whose text is in the model's hands and stays there."""
    model.gate.clear()
    task = asyncio.create_task(running.encode(["blocker"], "query", lane="query"))
    await until(lambda: not running.waiting and model.waiting)
    return task


async def all_end_unavailable(running: Batcher, *calls: asyncio.Task[list[Encoded | ChercheError]]) -> None:
    """Close while a pass stands before the gate: every text gets an answer all the same."""
    await running.aclose(0.01)
    outcomes = [outcome for call in calls for outcome in await call]
    assert outcomes
    for outcome in outcomes:
        assert isinstance(outcome, ChercheError)
        assert outcome.code is Code.UNAVAILABLE
