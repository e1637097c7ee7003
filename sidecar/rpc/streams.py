"""Back-pressure for streams: bounded work in flight, answers as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


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
