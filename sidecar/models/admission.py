"""Who may wait for a model, how long that will take, and how much runs at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from sidecar.errors import ChercheError, overloaded
from sidecar.models.queue import LANES
from sidecar.protocols import BatchObserver
from sidecar.values.limits import QUEUE_ITEMS, QUEUE_TOKENS
from sidecar.values.model import Kind, Lane, ModelDescription

_RETRY_BOUNDS = (0.1, 60.0)
_TOKEN = 4  # characters, of a text that is not tokenized yet
# While searches wait for a thread, one waits for at most this long for a batch of another lane.
_SEARCH_WAIT = 0.05
_RECENT = 10.0  # seconds after such a search in which the next one may come
_PACE_OVER = 5.0  # seconds of which a lane's pace is
# Of a deadline. The rest is for what no mean predicts: who comes first from now on, a busy machine, the engine's part.
_IN_TIME = 0.5


class Waiting(Protocol):
    """What is asked of a queue."""

    def depth(self, lane: Lane) -> int:
        """Texts of a lane that wait."""
        ...

    def tokens(self, lane: Lane) -> int:
        """Their tokens."""
        ...


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """How much may wait, and how much runs at once.

    Attributes
    ----------
    tokens : int
        Of one batch, padding included.
    packs : bool
        Whether the model encodes texts without padding.
    max_wait : float
        Seconds after which a lane that was passed over is served once.
    queue_items, queue_tokens : int
        What may wait in each lane; a call that finds its lane empty is taken whatever its size.
    """

    tokens: int = 2048
    max_wait: float = 2.0
    queue_items: int = QUEUE_ITEMS
    queue_tokens: int = QUEUE_TOKENS
    packs: bool = False


@dataclass(slots=True)
class _Pace:
    """Tokens of a lane that are done in a second while some of it wait, other lanes' batches in between included."""

    tokens: float = 0.0
    seconds: float = 0.0
    ended: float = -math.inf

    def add(self, tokens: int, arrived: float, now: float) -> None:
        """Take note of a batch that ended now, whose oldest text came at `arrived`."""
        taken = max(now - max(arrived, self.ended), 1e-6)
        # Sums, as a mean of quotients would be of the many quick batches, not of the time that is waited.
        kept = math.exp(-taken / _PACE_OVER)
        self.tokens, self.seconds = kept * self.tokens + tokens, kept * self.seconds + taken
        self.ended = now


class Admission:
    """Lets calls in while their lane has room and their turn comes in time.

    Parameters
    ----------
    info : ModelDescription
        Whose name refusals carry.
    jobs : Waiting
    options : BatchOptions
    observer : BatchObserver
        Notified of refusals.
    clock : callable
        Monotonic seconds.
    queries_apart : bool
        Whether queries have a thread of their own, so that none waits for another lane's batch.
    """

    def __init__(
        self,
        info: ModelDescription,
        jobs: Waiting,
        options: BatchOptions,
        observer: BatchObserver,
        clock: Callable[[], float],
        *,
        queries_apart: bool = False,
    ) -> None:
        self._info, self._jobs, self._options, self._observer, self._clock = info, jobs, options, observer, clock
        self._most = options.tokens
        self._rates: dict[Lane, float] = {}
        self._paces: dict[Lane, _Pace] = {}
        # Lanes in which a search waits behind feeds.
        self._searches: tuple[Lane, ...] = ("rerank",) if queries_apart else ("query", "rerank")
        self._last_search = -math.inf
        # In the tokenizer.
        self._items, self._tokens = dict.fromkeys(LANES, 0), dict.fromkeys(LANES, 0)

    def admit(self, items: int, lane: Lane, timeout: float | None, tokens: int = 0) -> None:
        """Let a call in, or refuse it before it costs anything.

        Raises
        ------
        ChercheError
            RESOURCE_EXHAUSTED with the predicted wait.
        """
        if lane in self._searches:
            self._last_search = self._clock()
        waiting = self._jobs.depth(lane) + self._items[lane]
        fits = waiting + items <= self._options.queue_items
        if waiting and not (fits and self._jobs.tokens(lane) + tokens <= self._options.queue_tokens):
            raise self._overloaded(lane, f"{waiting:,} texts wait for model {self._info.name!r} already")
        wait = self.wait(lane)
        ends = wait + self._alone(lane, tokens)
        if timeout is not None and wait and ends > _IN_TIME * timeout:
            reason = f"model {self._info.name!r} can answer in {ends:.1f} s, too late for a deadline of {timeout:.1f} s"
            raise self._overloaded(lane, reason)

    @contextmanager
    def tokenizing(self, texts: Sequence[str], kind: Kind, lane: Lane, max_length: int) -> Iterator[None]:
        """Count texts in the tokenizer as waiting, or many calls at once would all find an empty queue."""
        longest = max_length or (self._info.max_query_length if kind == "query" else self._info.max_document_length)
        about = sum(min(1 + len(text) // _TOKEN, longest) for text in texts)
        self._items[lane] += len(texts)
        self._tokens[lane] += about
        try:
            yield
        finally:
            self._items[lane] -= len(texts)
            self._tokens[lane] -= about

    def wait(self, lane: Lane) -> float:
        """Seconds until all that goes before a text of this lane is done; 0 while no batch was measured.

        What waits now in this lane and those before it, at the model's rate; or what waits in this lane, at its pace,
        where that is longer: others come meanwhile and go first.
        """
        ahead = sum(self._alone(before, self._ahead(before)) for before in LANES[: LANES.index(lane) + 1])
        pace = self._paces.get(lane)
        return max(ahead, self._ahead(lane) * pace.seconds / pace.tokens if pace else 0.0)

    def budget(self, lane: Lane) -> int:
        """Tokens of the next batch; while searches wait for its thread, so few that one need not wait for long."""
        rate = self._rates.get(lane)
        if lane == "query" or rate is None or self._clock() - self._last_search > _RECENT:
            return self._most
        return min(self._most, max(1, round(rate * _SEARCH_WAIT)))

    def halve(self) -> None:
        """Remember a smaller budget: memory ran out."""
        self._most = max(1, self._most // 2)

    def measured(self, lane: Lane, tokens: int, seconds: float, arrived: float) -> None:
        """Take note of a batch that has ended; averages, so that no odd one decides when refused callers return.

        Parameters
        ----------
        seconds : float
            What the model took.
        arrived : float
            When its oldest text came.
        """
        rate = tokens / max(seconds, 1e-6)
        self._rates[lane] = 0.8 * self._rates.get(lane, rate) + 0.2 * rate
        pace = self._paces.get(lane, _Pace())
        pace.add(tokens, arrived, self._clock())
        self._paces[lane] = pace  # not before: others divide by its tokens

    def _ahead(self, lane: Lane) -> int:
        return self._jobs.tokens(lane) + self._tokens[lane]

    def _alone(self, lane: Lane, tokens: int) -> float:
        """Seconds of so many tokens if nothing else ran."""
        return tokens / (self._rates.get(lane) or max(self._rates.values(), default=math.inf))

    def _overloaded(self, lane: Lane, reason: str) -> ChercheError:
        self._observer.refused(lane)
        seconds = self.wait(lane) if self._rates else 1.0
        return overloaded(reason, round(min(max(seconds, _RETRY_BOUNDS[0]), _RETRY_BOUNDS[1]), 1))
