"""A stream cut into batches of what has arrived, worked on two at a time, answered in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Iterable,
    Sequence,
)
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

# One batch is encoded while the one before it is written.
IN_FLIGHT = 2
# Of those, and of others that are done and wait for the answer of one before them.
_HELD = 8


@dataclass(slots=True)
class Bounds:
    """A batch is cut, and reading ahead stops, at whichever comes first; a change holds for the next batch."""

    items: int
    bytes: int


async def batches_of_arrivals(
    source: AsyncIterator[T], size_of: Callable[[T], int], bounds: Bounds
) -> AsyncGenerator[list[T], None]:
    """What has arrived, up to a batch: waits for the first item only.

    A failure of the source is raised once everything before it was given out.
    """
    inbox = _Inbox(size_of, bounds)
    reader = asyncio.create_task(inbox.fill(source))
    # Or the wait below would never end where the source ends, or fails, after its last item was taken.
    reader.add_done_callback(lambda _: inbox.arrived.set())
    try:
        while inbox.items or not reader.done():
            await inbox.arrived.wait()
            if batch := inbox.take():
                yield batch
        await reader
    finally:
        await _end(reader)


async def in_order(source: AsyncIterator[T], work: Callable[[T], Coroutine[Any, Any, R]]) -> AsyncGenerator[R, None]:
    """Work on two items at once, answer in order; an item is read when there is room for it.

    One that is done before its turn makes room: a short item behind a long one would else leave the model without work.

    A failure of the source is raised once what came before it is answered.
    """
    running: deque[asyncio.Task[R]] = deque()
    reading: asyncio.Task[tuple[T, ...]] | None = None
    last: asyncio.Task[tuple[T, ...]] | None = None
    try:
        while True:
            if reading is None and last is None and _has_room(running):
                reading = asyncio.create_task(_next(source))
            # Of those that are done only the oldest: a later one must wait for its turn anyway.
            awaited: list[asyncio.Task[Any]] = [*list(running)[:1], *_undone(running)]
            awaited += [] if reading is None else [reading]
            if not awaited:
                break
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
            if reading is not None and reading.done():
                if _is_last(reading):
                    last = reading
                else:
                    running.extend(asyncio.create_task(work(item)) for item in reading.result())
                reading = None
            if running and running[0].done():
                # While the answer is held, `reading` may end: only the lines above take its item.
                yield running.popleft().result()
        if last is not None:
            await last
    finally:
        await _end(*running, *([] if reading is None else [reading]))


def _undone(running: Iterable[asyncio.Task[R]]) -> list[asyncio.Task[R]]:
    return [task for task in running if not task.done()]


def _has_room(running: Collection[asyncio.Task[Any]]) -> bool:
    return len(running) < _HELD and len(_undone(running)) < IN_FLIGHT


async def beating(source: AsyncIterator[T], seconds: float) -> AsyncGenerator[T | None, None]:
    """The items of a source, and None whenever none has come for so many seconds."""
    reading: asyncio.Task[tuple[T, ...]] | None = None
    try:
        while True:
            reading = reading or asyncio.create_task(_next(source))
            await asyncio.wait([reading], timeout=seconds)
            if not reading.done():
                yield None
                continue
            item = reading.result()
            reading = None
            if not item:
                return
            yield item[0]
    finally:
        await _end(*([] if reading is None else [reading]))


async def in_turn(sources: Sequence[AsyncGenerator[T, None]]) -> AsyncGenerator[T, None]:
    """One item of each source, then one more of each, until all have ended."""
    left = list(sources)
    try:
        while left:
            for source in list(left):
                item = await _next(source)
                if item:
                    yield item[0]
                else:
                    left.remove(source)
    finally:
        for source in left:
            await source.aclose()


@dataclass(slots=True)
class _Inbox(Generic[T]):
    """Items read ahead of their use."""

    size_of: Callable[[T], int]
    bounds: Bounds
    items: deque[T] = field(default_factory=deque)
    bytes: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    room: asyncio.Event = field(default_factory=asyncio.Event)

    async def fill(self, source: AsyncIterator[T]) -> None:
        async for item in source:
            self.items.append(item)
            self.bytes += self.size_of(item)
            self.arrived.set()
            if self._is_full():
                self.room.clear()
                await self.room.wait()

    def take(self) -> list[T]:
        """The next batch; empty only where nothing has arrived."""
        batch: list[T] = []
        size = 0
        while self.items and len(batch) < self.bounds.items and size < self.bounds.bytes:
            item = self.items.popleft()
            batch.append(item)
            size += self.size_of(item)
        self.bytes -= size
        if not self.items:
            self.arrived.clear()
        if not self._is_full():
            self.room.set()
        return batch

    def _is_full(self) -> bool:
        return len(self.items) >= self.bounds.items or self.bytes >= self.bounds.bytes


async def _next(source: AsyncIterator[T]) -> tuple[T, ...]:
    """The next item in a tuple; an empty one at the end."""
    try:
        return (await anext(source),)
    except StopAsyncIteration:
        return ()


def _is_last(reading: asyncio.Task[tuple[T, ...]]) -> bool:
    """Whether a finished reading found the end of the source, or its failure."""
    return reading.exception() is not None or not reading.result()


async def _end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel what still runs and wait until it is gone."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def as_completed(
    items: AsyncIterator[T], work: Callable[[T], Awaitable[R]], limit: int
) -> AsyncGenerator[R, None]:
    """Work on items as they arrive and yield results as they are done, in any order.

    Parameters
    ----------
    items : async iterator
        Read no further than `limit` ahead of what was yielded.
    work : callable
        Must not raise for an item's own sake; what it raises ends the stream.
    limit : int
        Items read whose result was not yielded yet.
    """
    slots = asyncio.Semaphore(limit)
    done: asyncio.Queue[asyncio.Task[R] | None] = asyncio.Queue()
    running: set[asyncio.Task[R]] = set()

    def finished(task: asyncio.Task[R]) -> None:
        running.discard(task)
        done.put_nowait(task)

    async def read() -> int:
        count = 0
        try:
            await slots.acquire()
            async for item in items:
                task = asyncio.ensure_future(_run(work, item))
                running.add(task)
                task.add_done_callback(finished)
                count += 1
                await slots.acquire()
        finally:
            done.put_nowait(None)
        return count

    reader = asyncio.create_task(read())
    yielded, expected = 0, -1
    try:
        while yielded != expected:
            task = await done.get()
            if task is None:
                expected = await reader
                continue
            yield task.result()
            yielded += 1
            slots.release()
    finally:
        unfinished = [reader, *running]
        for one in unfinished:
            one.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)


async def _run(work: Callable[[T], Awaitable[R]], item: T) -> R:
    return await work(item)
