"""Which texts form the next batch. Pure: no threads, no clock of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, get_args

from cherche_models.types import Tokens
from sidecar.values.model import Kind, Lane

LANES: tuple[Lane, ...] = get_args(Lane)
# Only so many jobs of a lane are sorted for a batch, the oldest: a long queue must not make a batch slow.
POOL = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One tokenized text that waits for the model.

    Attributes
    ----------
    tokens : Tokens
    kind : {"document", "query"}
        A batch holds one kind.
    lane : {"query", "rerank", "ingest", "backfill"}
        Earlier lanes go first.
    arrived : float
        Seconds on the caller's clock.
    deadline : float or None
        Nobody waits for it afterwards.
    """

    tokens: Tokens
    kind: Kind
    lane: Lane
    arrived: float
    deadline: float | None = None

    @property
    def length(self) -> int:
        """Tokens it costs; an empty text costs one."""
        return max(1, len(self.tokens))


J = TypeVar("J", bound=Job)
_Bucket = tuple[Lane, Kind]


def padded_tokens(lengths: Sequence[int]) -> int:
    """Tokens of a batch once all are as long as the longest.

    >>> padded_tokens([3, 5])
    10
    """
    return max(lengths, default=0) * len(lengths)


def around(lengths: Sequence[int], head: int, budget: int) -> tuple[int, int]:
    """The run of sorted lengths to encode together with `head`.

    Grows to the side that wastes less padding while the padded batch fits.

    Parameters
    ----------
    lengths : sequence of int
        In rising order.
    head : int
        Position that must be in the run, even where it alone exceeds the budget.
    budget : int
        Padded tokens.

    Returns
    -------
    (start, stop) : the run ``lengths[start:stop]``.

    >>> around([2, 10, 10, 11, 90], head=1, budget=33)
    (1, 4)
    """
    start, stop = head, head + 1
    while True:
        count = stop - start
        top = lengths[stop - 1]
        shorter = start > 0 and top * (count + 1) <= budget
        longer = stop < len(lengths) and lengths[stop] * (count + 1) <= budget
        if not (shorter or longer):
            return start, stop
        waste_below = top - lengths[start - 1] if shorter else None
        waste_above = (lengths[stop] - top) * count if longer else None
        if waste_above is None or (waste_below is not None and waste_below <= waste_above):
            start -= 1
        else:
            stop += 1


class JobQueue(Generic[J]):
    """Waiting jobs by lane and kind, each first come first served.

    Parameters
    ----------
    max_wait : float
        Seconds after which a lane that was passed over is served once.
    packs : bool
        Whether the model encodes texts without padding: then they go as they came, or one caller's would all end
        together with another's, who came later.
    """

    def __init__(self, max_wait: float, *, packs: bool = False) -> None:
        self._max_wait, self._packs = max_wait, packs
        self._buckets: dict[_Bucket, list[J]] = {}
        self._since: dict[_Bucket, float] = {}
        self._tokens = dict.fromkeys(LANES, 0)
        self._items = 0

    def __len__(self) -> int:
        return self._items

    def tokens(self, lane: Lane) -> int:
        """Tokens of a lane that wait, unpadded."""
        return self._tokens[lane]

    def oldest(self) -> float | None:
        """When the job arrived that has waited longest."""
        return min((bucket[0].arrived for bucket in self._buckets.values()), default=None)

    def depth(self, lane: Lane) -> int:
        """Jobs of a lane."""
        return sum(len(bucket) for (own, _), bucket in self._buckets.items() if own == lane)

    def add(self, job: J) -> None:
        """Put a job at the end of its lane."""
        key = (job.lane, job.kind)
        if key not in self._buckets:
            self._since[key] = job.arrived
        self._buckets.setdefault(key, []).append(job)
        self._items += 1
        self._tokens[job.lane] += job.length

    def drop(self, unwanted: Callable[[J], bool]) -> list[J]:
        """Take out the jobs nobody waits for."""
        dropped: list[J] = []
        for key in list(self._buckets):
            gone = [job for job in self._buckets[key] if unwanted(job)]
            self._remove(key, gone)
            dropped += gone
        return dropped

    def take(self, now: float, budget: Callable[[Lane], int]) -> list[J]:
        """Take the next batch: one lane, one kind, within the lane's budget; lengths alike where they are padded.

        The job that has waited longest in its lane is always in it; it goes
        alone where it exceeds the budget by itself.
        """
        key = self._next(now)
        if key is None:
            return []
        pool, most = self._buckets[key][:POOL], budget(key[0])
        if self._packs:
            ends = itertools.accumulate(job.length for job in pool)
            batch = pool[: max(1, sum(1 for _ in itertools.takewhile(lambda end: end <= most, ends)))]
        else:
            by_length = sorted(range(len(pool)), key=lambda i: pool[i].length)
            start, stop = around([pool[i].length for i in by_length], by_length.index(0), most)
            batch = [pool[i] for i in by_length[start:stop]]
        self._remove(key, batch)
        # A lane's wait counts from its last batch: being served ends it.
        self._since[key] = now
        return batch

    def _next(self, now: float) -> _Bucket | None:
        """The lane to serve: one that was passed over for too long, else the first in rank."""
        if not self._buckets:
            return None
        longest = min(self._buckets, key=lambda key: self._since[key])
        if now - self._since[longest] > self._max_wait:
            return longest
        return min(self._buckets, key=lambda key: (LANES.index(key[0]), self._buckets[key][0].arrived))

    def _remove(self, bucket: _Bucket, jobs: Sequence[J]) -> None:
        gone = {id(job) for job in jobs}
        if not gone:
            return
        self._buckets[bucket] = [job for job in self._buckets[bucket] if id(job) not in gone]
        self._items -= len(gone)
        self._tokens[bucket[0]] -= sum(job.length for job in jobs)
        if not self._buckets[bucket]:
            del self._buckets[bucket], self._since[bucket]
