"""Calls are let in by room and time, and refused with the wait."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest

from sidecar.errors import ChercheError, Code
from sidecar.models.admission import Admission, BatchOptions, _Pace
from sidecar.protocols import BatchObserver
from sidecar.testing import FakeModel
from sidecar.values.model import Lane
from tests.clock import Clock


@dataclass
class Queue:
    texts: Counter[Lane] = field(default_factory=Counter)
    lengths: Counter[Lane] = field(default_factory=Counter)

    def depth(self, lane: Lane) -> int:
        return self.texts[lane]

    def tokens(self, lane: Lane) -> int:
        return self.lengths[lane]


class Unobserved(BatchObserver):
    """Keeps nothing."""


def admission(queue: Queue, clock: Clock | None = None, **options: int) -> Admission:
    return Admission(FakeModel().info, queue, BatchOptions(**options), Unobserved(), clock or Clock())


def refusal(asked: Admission, items: int, lane: Lane, timeout: float | None = None, tokens: int = 0) -> ChercheError:
    with pytest.raises(ChercheError) as refused:
        asked.admit(items, lane, timeout, tokens)
    assert refused.value.code is Code.RESOURCE_EXHAUSTED
    return refused.value


def test_an_empty_lane_takes_a_call_of_any_size() -> None:
    queue = Queue()
    asked = admission(queue, queue_items=2, queue_tokens=10)
    asked.admit(100, "query", None, 1000)
    queue.texts["ingest"] = 2
    asked.admit(1, "query", None)
    assert refusal(asked, 1, "ingest").retry_after == 1.0
    queue.texts["ingest"], queue.lengths["ingest"] = 1, 8
    asked.admit(1, "ingest", None, 2)
    refusal(asked, 1, "ingest", None, 3)


def test_what_cannot_begin_in_time_is_refused_with_the_wait() -> None:
    queue = Queue()
    asked = admission(queue)
    queue.texts["query"], queue.lengths["query"] = 1, 100
    asked.admit(1, "query", 0.1)  # no batch was measured
    asked.measured("query", 50, 1.0, -1.0)
    assert asked.wait("query") == 2.0
    asked.admit(1, "query", 4.0)
    assert refusal(asked, 1, "query", 3.9).retry_after == 2.0
    queue.lengths["ingest"] = 1000
    assert asked.wait("query") == 2.0
    assert asked.wait("ingest") == 22.0


def test_what_comes_meanwhile_and_goes_first_is_in_the_wait() -> None:
    queue, clock = Queue(), Clock()
    asked = admission(queue, clock)
    # Alone 100 tokens a second; between two of its batches queries take three times as long.
    for _ in range(20):
        clock.now += 4.0
        asked.measured("ingest", 100, 1.0, 0.0)
    queue.texts["ingest"], queue.lengths["ingest"] = 10, 1000
    assert asked.wait("ingest") == pytest.approx(40.0)
    assert refusal(asked, 1, "ingest", 20.0).retry_after == 40.0
    # Nobody is ahead of it any more: it gets the model to itself again within some batches.
    for _ in range(20):
        clock.now += 1.0
        asked.measured("ingest", 100, 1.0, 0.0)
    assert asked.wait("ingest") == pytest.approx(10.0, rel=0.1)
    # Time without work is not the lane's.
    clock.now += 60.0
    asked.measured("ingest", 100, 1.0, clock.now - 1.0)
    assert asked.wait("ingest") == pytest.approx(10.0, rel=0.1)


def test_what_would_end_too_late_is_refused_and_a_prediction_has_a_margin() -> None:
    queue = Queue()
    asked = admission(queue)
    asked.measured("ingest", 100, 1.0, -1.0)
    asked.admit(1, "ingest", 1.0, 1000)  # alone it may try
    queue.texts["ingest"], queue.lengths["ingest"] = 1, 100
    asked.admit(1, "ingest", 10.0, 400)
    assert refusal(asked, 1, "ingest", 10.0, 401).retry_after == 1.0


def test_texts_in_the_tokenizer_wait_too() -> None:
    asked = admission(Queue(), queue_items=2)
    asked.measured("query", 10, 1.0, -1.0)
    with asked.tokenizing(["x" * 36, "x" * 36], "query", "query", 0):
        assert asked.wait("query") == 2.0
        refusal(asked, 1, "query")
    assert asked.wait("query") == 0.0


def test_batches_of_others_are_small_while_queries_come() -> None:
    clock = Clock()
    asked = admission(Queue(), clock, tokens=1000)
    asked.measured("ingest", 2000, 1.0, -1.0)
    assert asked.budget("ingest") == 1000
    asked.admit(1, "query", None)
    assert (asked.budget("ingest"), asked.budget("query")) == (100, 1000)
    clock.now = 11.0
    assert asked.budget("ingest") == 1000
    asked.halve()
    assert asked.budget("ingest") == 500


def test_a_pace_is_asked_for_once_it_has_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue()
    asked = admission(queue)
    queue.texts["ingest"], queue.lengths["ingest"] = 1, 10
    add, seen = _Pace.add, []

    def add_slowly(self: _Pace, tokens: int, arrived: float, now: float) -> None:
        seen.append(asked.wait("ingest"))  # as the event loop may meanwhile
        add(self, tokens, arrived, now)

    monkeypatch.setattr(_Pace, "add", add_slowly)
    asked.measured("ingest", 10, 1.0, -1.0)
    assert seen == [1.0]


def test_batches_are_small_only_while_searches_wait_for_their_thread() -> None:
    for queries_apart in (False, True):
        queue, clock = Queue(), Clock()
        clock.now = 100.0
        asked = Admission(
            FakeModel().info, queue, BatchOptions(tokens=1000), Unobserved(), clock, queries_apart=queries_apart
        )
        asked.measured("ingest", 100, 0.1, 99.0)
        assert asked.budget("ingest") == 1000
        asked.admit(1, "query", None)
        assert asked.budget("ingest") == (1000 if queries_apart else 50)
        asked.admit(1, "rerank", None)
        assert asked.budget("ingest") == 50
        assert asked.budget("query") == 1000
        clock.now += 11
        assert asked.budget("ingest") == 1000
