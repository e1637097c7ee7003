from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from sidecar.pipeline.stream import Bounds, as_completed, batches_of_arrivals, in_order

BOUNDS = Bounds(items=4, bytes=100)


async def source(*items: str, failure: Exception | None = None) -> AsyncIterator[str]:
    for item in items:
        yield item
    if failure:
        raise failure


def others() -> set[asyncio.Task[object]]:
    return asyncio.all_tasks() - {asyncio.current_task()}


async def collect(results: AsyncGenerator[Any, None], into: list[Any]) -> None:
    async with aclosing(results):
        async for result in results:
            into.append(result)  # noqa: PERF401  # what came before a failure must stay


async def cut(*items: str, bounds: Bounds = BOUNDS) -> list[list[str]]:
    async with aclosing(batches_of_arrivals(source(*items), len, bounds)) as found:
        return [batch async for batch in found]


async def test_batches_are_cut_by_items_and_hold_all_in_order() -> None:
    found = await cut(*"abcdefghij")
    assert [item for batch in found for item in batch] == list("abcdefghij")
    assert max(map(len, found)) <= 4
    assert not others()


async def test_batches_are_cut_by_bytes_and_a_large_item_goes_alone() -> None:
    found = await cut("a" * 60, "b" * 60, "c" * 300, "d", bounds=Bounds(10, 100))
    assert [len(batch) for batch in found if "c" * 300 in batch] == [1]
    assert all(sum(map(len, batch[:-1])) < 100 for batch in found)


async def test_no_item_no_batch() -> None:
    assert await cut() == []


async def test_an_item_is_not_kept_waiting_for_company() -> None:
    queue: asyncio.Queue[str] = asyncio.Queue()

    async def arriving() -> AsyncIterator[str]:
        while True:
            yield await queue.get()

    async with aclosing(batches_of_arrivals(arriving(), len, BOUNDS)) as found:
        for item in "abc":
            queue.put_nowait(item)
            assert await anext(found) == [item]
    assert not others()


async def test_reading_ahead_stops_at_the_bounds() -> None:
    read = 0

    async def endless() -> AsyncIterator[str]:
        nonlocal read
        while True:
            read += 1
            yield "x" * 30

    async with aclosing(batches_of_arrivals(endless(), len, BOUNDS)) as found:
        for _ in range(5):
            await anext(found)
            for _ in range(10):
                await asyncio.sleep(0)
    assert read <= 6 * 5
    assert not others()


async def test_a_broken_source_gives_out_what_came_before() -> None:
    found: list[list[str]] = []
    with pytest.raises(ConnectionError):
        await collect(batches_of_arrivals(source(*"abcde", failure=ConnectionError()), len, BOUNDS), found)
    assert [item for batch in found for item in batch] == list("abcde")
    assert not others()


@pytest.mark.parametrize("taken", [0, 1, 2])
async def test_leaving_early_ends_the_reader_even_while_it_waits_for_room(taken: int) -> None:
    async with aclosing(batches_of_arrivals(source(*"abcdefghijklmnop"), len, BOUNDS)) as found:
        for _ in range(taken):
            await anext(found)
            await asyncio.sleep(0)
    assert not others()


async def test_answers_come_in_order_whatever_ends_first() -> None:
    gates = {item: asyncio.Event() for item in "abcd"}
    started: list[str] = []
    both = asyncio.Event()

    async def work(item: str) -> str:
        started.append(item)
        if len(started) == 2:
            both.set()
        await gates[item].wait()
        return item.upper()

    async with aclosing(in_order(source(*"abcd"), work)) as answers:
        gates["b"].set()
        first = asyncio.ensure_future(anext(answers))
        await both.wait()
        assert not first.done()
        assert started == ["a", "b"]  # two at once, no more
        for gate in gates.values():
            gate.set()
        assert [await first, *[answer async for answer in answers]] == list("ABCD")
    assert not others()


async def test_what_is_done_before_its_turn_makes_room() -> None:
    first, third = asyncio.Event(), asyncio.Event()

    async def work(item: str) -> str:
        if item == "c":
            third.set()
        if item == "a":
            await first.wait()
        return item

    async with aclosing(in_order(source(*"abcd"), work)) as answers:
        answer = asyncio.ensure_future(anext(answers))
        await third.wait()  # while the first is worked on
        assert not answer.done()
        first.set()
        assert [await answer, *[one async for one in answers]] == list("abcd")
    assert not others()


async def test_an_answer_is_given_before_the_next_item_is_there() -> None:
    asked = asyncio.Event()

    async def one_by_one() -> AsyncIterator[str]:
        yield "a"
        await asked.wait()
        yield "b"

    async def work(item: str) -> str:
        return item

    async with aclosing(in_order(one_by_one(), work)) as answers:
        assert await anext(answers) == "a"
        asked.set()
        assert await anext(answers) == "b"


async def test_a_broken_source_is_told_after_the_answers() -> None:
    async def work(item: str) -> str:
        for _ in range(5):
            await asyncio.sleep(0)
        return item

    found: list[str] = []
    with pytest.raises(ConnectionError):
        await collect(in_order(source("a", "b", failure=ConnectionError()), work), found)
    assert found == ["a", "b"]
    assert not others()


async def test_a_failure_of_the_work_ends_everything() -> None:
    async def work(item: str) -> str:
        if item == "b":
            raise ValueError(item)
        return item

    async with aclosing(in_order(source(*"abcd"), work)) as answers:
        assert await anext(answers) == "a"
        with pytest.raises(ValueError, match="b"):
            await anext(answers)
    assert not others()


async def test_cancelling_leaks_no_task() -> None:
    async def work(item: str) -> str:
        await asyncio.Event().wait()
        return item

    async def feed() -> None:
        arriving = batches_of_arrivals(source(*"abcdefghijklmnop"), len, BOUNDS)
        async with aclosing(arriving), aclosing(in_order(arriving, lambda batch: work(batch[0]))) as answers:
            async for _ in answers:
                pass

    task = asyncio.create_task(feed())
    for _ in range(20):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not others()


async def test_an_item_that_arrives_while_an_answer_is_held_is_answered_too() -> None:
    arrive = asyncio.Event()

    async def late() -> AsyncIterator[str]:
        yield "a"
        await arrive.wait()
        yield "b"
        yield "c"

    async def work(item: str) -> str:
        return item

    found = []
    async with aclosing(in_order(late(), work)) as answers:
        async for answer in answers:
            found.append(answer)
            arrive.set()
            for _ in range(5):  # the next item is read while this answer is still in the caller's hands
                await asyncio.sleep(0)
    assert found == ["a", "b", "c"]
    assert not others()


@pytest.mark.parametrize("seed", range(20))
async def test_nothing_is_lost_whatever_the_pace(seed: int) -> None:
    pace = random.Random(seed)

    async def pause() -> None:
        for _ in range(pace.randrange(4)):
            await asyncio.sleep(0)

    async def paced() -> AsyncIterator[str]:
        for number in range(40):
            await pause()
            yield str(number)

    async def work(batch: list[str]) -> list[str]:
        await pause()
        return batch

    found: list[str] = []
    arriving = batches_of_arrivals(paced(), len, BOUNDS)
    async with aclosing(arriving), aclosing(in_order(arriving, work)) as answers:
        async for batch in answers:
            found += batch
            await pause()
    assert found == [str(number) for number in range(40)]


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
