from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sidecar.pipeline.stream import as_completed


async def numbers(count: int, taken: list[int] | None = None) -> AsyncIterator[int]:
    for i in range(count):
        if taken is not None:
            taken.append(i)
        yield i


async def test_every_item_is_answered_once() -> None:
    async def work(i: int) -> int:
        await asyncio.sleep(0 if i % 2 else 0.001)
        return i

    assert sorted([i async for i in as_completed(numbers(50), work, 7)]) == list(range(50))


async def test_no_items_no_answers() -> None:
    assert [i async for i in as_completed(numbers(0), asyncio.sleep, 3)] == []


async def test_answers_come_as_they_are_done() -> None:
    first = asyncio.Event()

    async def work(i: int) -> int:
        if i == 0:
            await first.wait()
        return i

    answers = as_completed(numbers(3), work, 3)
    assert {await anext(answers), await anext(answers)} == {1, 2}
    first.set()
    assert await anext(answers) == 0
    assert await anext(answers, None) is None


async def test_no_more_is_read_than_may_be_unanswered() -> None:
    taken: list[int] = []

    async def work(i: int) -> int:
        return i

    answers = as_completed(numbers(100, taken), work, 4)
    for answered in range(1, 20):
        await anext(answers)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(taken) <= answered + 4
    await answers.aclose()


async def test_a_failing_source_fails_the_stream() -> None:
    async def broken() -> AsyncIterator[int]:
        yield 1
        raise OSError("gone")

    async def work(i: int) -> int:
        return i

    with pytest.raises(OSError, match="gone"):
        [i async for i in as_completed(broken(), work, 4)]


async def test_leaving_early_cancels_the_work() -> None:
    cancelled = 0

    async def work(i: int) -> int:
        nonlocal cancelled
        if i == 0:
            return i
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled += 1
            raise
        return i

    answers = as_completed(numbers(5), work, 5)
    assert await anext(answers) == 0
    await asyncio.sleep(0)
    await answers.aclose()
    assert cancelled == 4
