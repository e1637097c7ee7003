"""Searches that cannot end in time are refused when they come."""

from __future__ import annotations

from contextlib import ExitStack, suppress

import pytest

from sidecar.errors import ChercheError, Code
from sidecar.pipeline.turns import Turns
from tests.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock(100.0)


@pytest.fixture
def turns(clock: Clock) -> Turns:
    return Turns(clock)


def one_search(turns: Turns, clock: Clock, seconds: float) -> None:
    with turns.taken(None):
        clock.now += seconds


def test_a_search_beyond_its_deadline_is_refused_with_the_time_it_would_take(turns: Turns, clock: Clock) -> None:
    one_search(turns, clock, 1.0)
    with ExitStack() as running:
        for _ in range(4):
            running.enter_context(turns.taken(2.0))
        with pytest.raises(
            ChercheError, match=r"with 4 in progress a search takes 5\.0 s; this one has 3\.0 s"
        ) as refused:
            running.enter_context(turns.taken(3.0))
        assert (refused.value.code, refused.value.retry_after) == (Code.RESOURCE_EXHAUSTED, 5.0)
        running.enter_context(turns.taken(5.0))
        running.enter_context(turns.taken(None))


def test_few_searches_are_never_refused(turns: Turns, clock: Clock) -> None:
    one_search(turns, clock, 30.0)
    with ExitStack() as running:
        for _ in range(4):
            running.enter_context(turns.taken(0.1))


def test_what_fails_is_no_pace(turns: Turns, clock: Clock) -> None:
    one_search(turns, clock, 1.0)
    with ExitStack() as running:
        for _ in range(4):
            running.enter_context(turns.taken(None))
        with suppress(TimeoutError), turns.taken(None):
            clock.now += 9.0
            raise TimeoutError
        assert turns.predicted == pytest.approx(5.0)
        one_search(turns, clock, 1.0)
        assert turns.predicted == pytest.approx(5 * (0.7 * 1.0 + 0.3 * 10.0))


def test_the_pace_of_long_ago_is_forgotten(turns: Turns, clock: Clock) -> None:
    one_search(turns, clock, 5.0)
    clock.now += 11.0
    with ExitStack() as running:
        for _ in range(6):
            running.enter_context(turns.taken(0.1))


def outcomes(turns: Turns, clock: Clock, seconds: int, deadline: float, *, is_gated: bool) -> tuple[int, int, int]:
    """Searches that came twice as fast as one server answers them in turn, .1 s each: answered, late, refused."""
    queue: list[tuple[float, ExitStack]] = []
    answered = late = refused = 0
    busy_until = clock.now
    for tick in range(seconds * 20):
        clock.now = 100.0 + tick * 0.05
        while queue and busy_until <= clock.now:
            due, turn = queue.pop(0)
            if due < busy_until:  # its caller has left
                with suppress(TimeoutError), turn:
                    raise TimeoutError
                late += 1
                continue
            now, clock.now = clock.now, busy_until
            turn.close()
            clock.now = now
            answered += 1
            busy_until += 0.1
        turn = ExitStack()
        try:
            turn.enter_context(turns.taken(deadline if is_gated else None))
        except ChercheError:
            refused += 1
            continue
        if not queue:
            busy_until = max(busy_until, clock.now + 0.1)
        queue.append((clock.now + deadline, turn))
    return answered, late, refused


def test_twice_the_capacity_is_answered_in_time_or_refused_at_once(turns: Turns, clock: Clock) -> None:
    answered, late, refused = outcomes(turns, clock, 60, 1.0, is_gated=True)
    assert answered >= 580
    assert refused >= 550
    assert late <= 12
    assert outcomes(Turns(clock), clock, 60, 1.0, is_gated=False)[1] >= 400
