"""Threads that each run batches of what waits in their lanes, one after the other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Generic, Protocol, TypeVar

from sidecar.models import memory, threads
from sidecar.models.queue import Job, JobQueue
from sidecar.observe import logs
from sidecar.values.model import Lane

J = TypeVar("J", bound=Job)
T = TypeVar("T")

REST = 2.0
"""Seconds without work after which memory is given back."""


class Owner(Protocol[J]):
    """Whose batches they are."""

    def budget(self, lane: Lane) -> int:
        """Tokens of the next batch."""
        ...

    def abandoned(self, now: float, job: J) -> bool:
        """Whether nobody waits for a job any more."""
        ...

    def dropped(self, jobs: list[J]) -> None:
        """Called with jobs that were abandoned."""
        ...

    def taken(self, lane: Lane) -> None:
        """Called once a batch of a lane is taken."""
        ...

    def run(self, batch: list[J]) -> None:
        """Run one batch, and answer for it."""
        ...


class Worker(Generic[J]):
    """Batches are formed when the thread is free, by itself, so that nothing waits for company and late arrivals of a
    better lane still go first.

    Parameters
    ----------
    name : str
        Of the thread.
    owner : Owner
    max_wait : float
        As of `JobQueue`.
    clock : callable
        Monotonic seconds.
    gives_way : bool
        Whether the process's other threads go before it.
    packs : bool
        As of `JobQueue`.
    """

    def __init__(
        self,
        name: str,
        owner: Owner[J],
        max_wait: float,
        clock: Callable[[], float],
        *,
        gives_way: bool = False,
        packs: bool = False,
    ) -> None:
        self._owner, self._clock, self._gives_way = owner, clock, gives_way
        self._jobs: JobQueue[J] = JobQueue(max_wait, packs=packs)
        self._closing = False
        self._running: list[J] = []
        self._changed = threading.Condition()
        # A daemon, as a forward pass cannot be interrupted: the process need not wait for what is left of a queue.
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return len(self._jobs)

    # Under the lock, as a queue that the thread takes from meanwhile cannot be counted.

    def depth(self, lane: Lane) -> int:
        """Jobs of a lane that wait."""
        with self._changed:
            return self._jobs.depth(lane)

    def tokens(self, lane: Lane) -> int:
        """Their tokens."""
        with self._changed:
            return self._jobs.tokens(lane)

    def oldest(self) -> float | None:
        """When the job arrived that has waited longest."""
        with self._changed:
            return self._jobs.oldest()

    def add(self, jobs: Iterable[J]) -> None:
        """Put jobs at the ends of their lanes."""
        with self._changed:
            for job in jobs:
                self._jobs.add(job)
            self._changed.notify()

    def close(self) -> None:
        """End the thread once nothing waits any more."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def join(self, grace: float) -> list[J]:
        """Wait for the end for at most `grace` seconds; what is not done by then is taken out."""
        self._thread.join(grace)
        with self._changed:
            return [*self._running, *self._jobs.drop(lambda _: True)] if self._thread.is_alive() else []

    def _serve(self) -> None:
        if self._gives_way:
            threads.give_way()
        while self._serve_batch():
            pass
        del self._owner  # which holds this: a model is freed when its batcher is let go, not at the next collection

    def _serve_batch(self) -> bool:
        """One batch; False at the end. While the thread waits for the next, nothing holds the texts of this one."""
        batch = self._take()
        if batch:
            self._tell(self._owner.run, batch)
        with self._changed:
            self._running = []
        return bool(batch)

    def _take(self) -> list[J]:
        """The next batch as soon as there is one; empty at the end."""
        while True:
            self._rest()
            batch, ended = self._next()
            if batch or ended:
                return batch

    def _rest(self) -> None:
        """Wait for work. After some seconds without, the memory of the batches before goes back to the system."""
        with self._changed:
            if self._changed.wait_for(self._has_work, REST):
                return
        memory.trim()
        with self._changed:
            self._changed.wait_for(self._has_work)

    def _has_work(self) -> bool:
        return len(self._jobs) > 0 or self._closing

    def _next(self) -> tuple[list[J], bool]:
        """A batch of what waits, and whether it is the end; a function of its own, as its variables keep texts."""
        with self._changed:
            now = self._clock()
            # Before the batch is taken: a text that nobody waits for must not take up a place in it.
            dropped = self._jobs.drop(partial(self._owner.abandoned, now))
            batch = self._jobs.take(now, self._owner.budget)
            self._running = batch
            ended = self._closing and not len(self._jobs)
        if dropped:
            self._tell(self._owner.dropped, dropped)
        if batch:
            self._tell(self._owner.taken, batch[0].lane)
        return batch, ended

    def _tell(self, call: Callable[[T], None], what: T) -> None:
        """Call the owner. A thread that ends by an error would leave every later caller of its lanes waiting."""
        try:
            call(what)
        except Exception as error:  # whatever an observer raises
            reason = f"{type(error).__name__}: {error}"
            logs.get("models").error("not all was done after a batch", thread=self._thread.name, reason=reason)


class Workers(Generic[J]):
    """The worker of each lane; lanes may share one."""

    def __init__(self, by_lane: Mapping[Lane, Worker[J]]) -> None:
        self._by_lane = by_lane
        self._all = set(by_lane.values())

    def __len__(self) -> int:
        return sum(map(len, self._all))

    def __getitem__(self, lane: Lane) -> Worker[J]:
        return self._by_lane[lane]

    def depth(self, lane: Lane) -> int:
        """Jobs of a lane that wait."""
        return self._by_lane[lane].depth(lane)

    def tokens(self, lane: Lane) -> int:
        """Their tokens."""
        return self._by_lane[lane].tokens(lane)

    def oldest(self) -> float | None:
        """When the job arrived that has waited longest."""
        found = [worker.oldest() for worker in self._all]
        return min((one for one in found if one is not None), default=None)

    async def end(self, grace: float) -> list[J]:
        """Have each finish what waits; what is not done after `grace` seconds."""
        for worker in self._all:
            worker.close()
        left = await asyncio.gather(*(asyncio.to_thread(worker.join, grace) for worker in self._all))
        return [job for jobs in left for job in jobs]
