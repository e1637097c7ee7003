"""When a backfill pauses, and when it gives up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sidecar.errors import ChercheError, Code
from sidecar.maintenance.pace import PROBES, Latency, Pacer, Throttle, p99
from sidecar.values.first_stage import EnginePage
from sidecar.values.index import TextField
from sidecar.values.maintenance import BackfillOptions, Load
from tests.unit.sidecar.conftest import World


def load(rejected: int = 0, queued: int = 0) -> Load:
    return Load(rejected, queued, 4, 0, 0.0)


def test_the_pause_doubles_while_the_cluster_refuses_and_ends_when_it_keeps_up() -> None:
    throttle = Throttle()
    pauses = []
    for rejected in (7, 7, 8, 9, 9, 9, 9):
        throttle.see(load(rejected))
        pauses.append(throttle.pause)
    assert pauses == [0.0, 0.0, 0.25, 0.5, 0.25, 0.0, 0.0]


def test_a_long_queue_is_a_reason_to_wait() -> None:
    throttle = Throttle()
    throttle.see(load(queued=8))
    assert not throttle.pause
    throttle.see(load(queued=9))
    assert throttle.reason == "9 requests wait in the cluster's queues"


def test_no_pause_is_longer_than_half_a_minute() -> None:
    throttle = Throttle()
    for _ in range(20):
        throttle.refused()
    assert throttle.pause == 30.0


def latency(before: float, since: float) -> Latency:
    found = Latency(0.2, [before] * PROBES)
    found.since.extend([since] * PROBES)
    return found


@pytest.mark.parametrize(
    ("before", "since", "pauses"),
    [(0.1, 0.1, False), (0.1, 0.119, False), (0.1, 0.121, True), (0.001, 0.004, False)],
)
def test_a_fifth_more_is_too_slow_where_it_can_be_noticed(before: float, since: float, pauses: bool) -> None:
    assert bool(latency(before, since).reason()) is pauses


def test_too_few_probes_tell_nothing() -> None:
    found = latency(0.1, 1.0)
    found.since.popleft()
    assert not found.reason()


def test_p99_is_a_value_that_was_measured() -> None:
    assert p99([float(i) for i in range(1, 101)]) == 99.0
    assert p99([5.0]) == 5.0


def pacer(world: World, **options: Any) -> Pacer:
    return Pacer(world.context, world.index, ["ducks"], (TextField("text"),), BackfillOptions(**options))


async def test_searches_that_stay_slow_end_the_run_with_the_next_step(world: World) -> None:
    now = [0.0]

    async def sleep(seconds: float) -> None:
        now[0] += seconds

    world = world.with_context(clock=lambda: now[0], sleep=sleep)
    slow = pacer(world, patience=60.0)
    slow.latency = latency(0.1, 0.3)
    with pytest.raises(ChercheError, match="although nothing was written for 60 s") as caught:
        await slow.proceed()
    assert caught.value.code is Code.UNAVAILABLE
    assert 60 < now[0] < 65
    assert not slow.paused


async def test_work_goes_on_when_searches_have_recovered(world: World) -> None:
    slow = pacer(world)
    slow.latency = latency(0.1, 0.3)

    async def sleep(seconds: float) -> None:
        assert "p99 of probes 300 ms, 100 ms before" in slow.paused
        slow.latency = latency(0.1, 0.1)

    slow.context = replace(world.context, sleep=sleep)
    world.engine.load = _none  # type: ignore[attr-defined]
    await slow.proceed()
    assert not slow.paused


async def _none() -> None:
    return None


async def test_searches_are_measured_before_the_work_begins(world: World, make_load: Callable[[], Any]) -> None:
    world.set_up()
    world.engine.load = make_load  # type: ignore[attr-defined]
    watched = pacer(world)
    async with watched.watching():
        assert len(watched.latency.before) == PROBES
    assert {query.text for query in world.engine.queries} == {"ducks"}


async def test_without_a_cluster_nothing_is_probed(world: World) -> None:
    world.set_up()
    world.engine.load = _none  # type: ignore[attr-defined]
    async with pacer(world).watching():
        assert not world.engine.queries


async def test_a_watch_that_ends_says_so(world: World, make_load: Callable[[], Any]) -> None:
    world.set_up()
    world.engine.load = make_load  # type: ignore[attr-defined]
    watched = pacer(world)

    def refuse(page: EnginePage) -> EnginePage:
        raise ChercheError(Code.NOT_FOUND, "there is no index")

    async with watched.watching():
        world.engine.change = refuse
        while not watched.notes:
            await world.context.sleep(0.01)
    assert "watched no longer" in watched.notes[0]


@pytest.fixture
def make_load() -> Callable[[], Any]:
    async def current() -> Load:
        return load()

    return current
