from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from cherche_models.types import Tokens
from sidecar.models.queue import LANES, Job
from sidecar.models.worker import Worker, Workers
from sidecar.values.model import Lane


@dataclass
class Owner:
    gate: threading.Event = field(default_factory=threading.Event)
    batches: list[list[Job]] = field(default_factory=list)
    lost: list[Job] = field(default_factory=list)
    lanes: list[Lane] = field(default_factory=list)
    begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def budget(self, lane: Lane) -> int:
        return 10

    def abandoned(self, now: float, job: Job) -> bool:
        return job.deadline is not None and job.deadline < now

    def dropped(self, jobs: list[Job]) -> None:
        self.lost += jobs

    def taken(self, lane: Lane) -> None:
        self.lanes.append(lane)

    def run(self, batch: list[Job]) -> None:
        self.begun.release()
        self.gate.wait()
        self.batches.append(batch)


@pytest.fixture
def owner() -> Iterator[Owner]:
    made = Owner()
    yield made
    made.gate.set()


def job(length: int, lane: Lane = "ingest", deadline: float | None = None) -> Job:
    tokens = Tokens((1,) * length, ("a",) * length, length)
    return Job(tokens, "query" if lane == "query" else "document", lane, time.monotonic(), deadline)


def worker(owner: Owner) -> Worker[Job]:
    return Worker("test", owner, 60.0, time.monotonic)


def test_what_waits_is_counted_and_done_in_order(owner: Owner) -> None:
    running = worker(owner)
    first = job(3)
    running.add([first])
    owner.begun.acquire()
    late, better, gone = job(4), job(5, "rerank"), job(2, deadline=0.0)
    running.add([late, better, gone])
    assert (len(running), running.depth("ingest"), running.tokens("ingest")) == (3, 2, 6)
    assert running.oldest() == late.arrived
    running.close()
    owner.gate.set()
    assert running.join(60) == []
    assert owner.batches == [[first], [better], [late]]
    assert owner.lost == [gone]
    assert owner.lanes == ["ingest", "rerank", "ingest"]
    assert running.oldest() is None


def test_what_is_not_done_in_time_is_given_back(owner: Owner) -> None:
    running = worker(owner)
    first, second = job(3), job(4)
    running.add([first])
    owner.begun.acquire()
    running.add([second])
    running.close()
    assert running.join(0.01) == [first, second]


@pytest.mark.parametrize("name", ["run", "taken", "dropped"])
def test_an_error_of_its_owner_ends_no_thread(name: str, owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = threading.Event()

    def fail(*_: object) -> None:
        failed.set()
        raise ZeroDivisionError

    owner.gate.set()
    running, later = worker(owner), job(4)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fail)
        running.add([job(3), job(2, deadline=0.0)])
        assert failed.wait(60)
    running.add([later])
    running.close()
    assert running.join(60) == []
    assert owner.batches[-1] == [later]


def test_an_ended_thread_keeps_nothing_of_its_owner() -> None:
    owner = Owner()
    left = weakref.ref(owner)
    running = worker(owner)
    running.close()
    running.join(60)
    del owner
    assert left() is None
    assert len(running) == 0


async def test_workers_are_asked_by_lane(owner: Owner) -> None:
    documents, queries = worker(owner), worker(owner)
    workers = Workers({**dict.fromkeys(LANES, documents), "query": queries})
    assert workers.oldest() is None
    running = [job(3), job(3, "query")]
    for one in running:
        workers[one.lane].add([one])
        await asyncio.to_thread(owner.begun.acquire)
    waiting = [job(4), job(6, "query"), job(5, "backfill")]
    for one in waiting:
        workers[one.lane].add([one])
    assert len(workers) == 3
    assert [workers.depth(lane) for lane in LANES] == [1, 0, 1, 1]
    assert [workers.tokens(lane) for lane in LANES] == [6, 0, 4, 5]
    assert workers.oldest() == waiting[0].arrived
    left = await workers.end(0.01)
    assert sorted(map(id, left)) == sorted(map(id, (*running, *waiting)))
