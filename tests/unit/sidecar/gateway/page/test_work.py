"""Work in steps: it rests between two questions, ends with its result, and is dropped when nobody asks."""

from __future__ import annotations

import asyncio

import pytest

from sidecar.errors import ChercheError, Code
from sidecar.gateway.page import work
from sidecar.gateway.page.work import Done, Steps, WorkBody, Works
from tests.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def works(clock: Clock) -> Works:
    return Works(clock)


async def steps(clock: Clock, ended: list[str], seconds: float = 0.4, of: int = 5) -> Steps:
    try:
        for done in range(1, of + 1):
            clock.now += seconds
            yield Done(done, of)
        yield Done(of, of, {"sum": of})
    finally:
        ended.append("ended")


async def test_one_question_works_for_about_a_second(works: Works, clock: Clock) -> None:
    ended: list[str] = []
    first = await works.begin(steps(clock, ended))
    assert (first["done"], first["of"]) == (3, 5)
    assert (clock.now, ended) == (pytest.approx(1.2), [])
    assert await works.proceed(WorkBody(work=first["work"])) == {"result": {"sum": 5}}
    assert ended == ["ended"]


async def test_short_work_is_done_at_once(works: Works, clock: Clock) -> None:
    assert await works.begin(steps(clock, [], of=2)) == {"result": {"sum": 2}}


async def test_work_that_is_done_or_dropped_is_not_found(works: Works, clock: Clock) -> None:
    ended: list[str] = []
    names = [(await works.begin(steps(clock, ended)))["work"] for _ in range(work.MOST + 1)]
    assert ended == ["ended"], "the one that waited longest"
    with pytest.raises(ChercheError, match="not waiting") as gone:
        await works.proceed(WorkBody(work=names[0]))
    assert gone.value.code is Code.NOT_FOUND
    assert await works.proceed(WorkBody(work=names[-1])) == {"result": {"sum": 5}}
    with pytest.raises(ChercheError, match="not waiting"):
        await works.proceed(WorkBody(work=names[-1]))


async def test_an_error_ends_it(works: Works, clock: Clock) -> None:
    async def failing() -> Steps:
        clock.now += 2
        yield Done(1, 2)
        raise ChercheError(Code.UNAVAILABLE, "the cluster is gone", "try again")

    name = (await works.begin(failing()))["work"]
    with pytest.raises(ChercheError, match="the cluster is gone"):
        await works.proceed(WorkBody(work=name))
    with pytest.raises(ChercheError, match="not waiting"):
        await works.proceed(WorkBody(work=name))


async def test_two_questions_at_once_do_not_share_a_step(works: Works, clock: Clock) -> None:
    go = asyncio.Event()

    async def slow() -> Steps:
        clock.now += 2
        yield Done(1, 2)
        await go.wait()
        yield Done(2, 2, {})

    name = WorkBody(work=(await works.begin(slow()))["work"])
    first = asyncio.create_task(works.proceed(name))
    await asyncio.sleep(0)
    with pytest.raises(ChercheError, match="not waiting"):
        await works.proceed(name)
    go.set()
    assert await first == {"result": {}}
