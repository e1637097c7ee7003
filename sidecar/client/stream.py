"""A stream in both directions: what is sent of it, and the answers."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Generic, TypeVar

from sidecar.client.calls import Calls
from sidecar.config import Limits
from sidecar.errors import ChercheError

T = TypeVar("T")
Problem = Callable[[T, int, Limits], ChercheError | None]


class Sieve(Generic[T]):
    """Lets a stream's sound items through and keeps count of the others.

    Attributes
    ----------
    failure : Exception or None
        What the caller's own iterator raised.
    started, ended : bool
        Whether the first item was requested of that iterator, and whether it is exhausted.
    sent : int
        Items let through so far.
    """

    def __init__(self, limits: Limits, problem: Problem[T]) -> None:
        self._limits = limits
        self._problem = problem
        self._pending: list[tuple[int, T, ChercheError]] = []
        self._refused_at: list[int] = []
        self.failure: Exception | None = None
        self.started = False
        self.ended = False
        self.sent = 0

    async def sound(self, items: AsyncIterable[T]) -> AsyncIterator[T]:
        """The items that can be sent."""
        place = 0
        self.started = True
        try:
            async for item in items:
                problem = self._problem(item, place, self._limits)
                if problem is None:
                    self.sent += 1
                    yield item
                else:
                    self._pending.append((place, item, problem))
                    self._refused_at.append(self.sent)
                place += 1
        except Exception as error:  # grpc would only log it
            self.failure = error
            raise
        self.ended = True

    def refused(self) -> list[tuple[int, T, ChercheError]]:
        """Place, item and error of those refused since the last time."""
        pending, self._pending = self._pending, []
        return pending

    def original(self, index: int) -> int:
        """Place in the caller's stream of the item that was sent as number `index`."""
        return index + bisect_right(self._refused_at, index)


async def answers(calls: Calls, call: Any, sieve: Sieve[Any]) -> AsyncGenerator[Any, None]:  # noqa: ANN401  # grpc's call
    """Responses of a bidirectional stream; what the caller's own iterator raised is raised here."""
    answered = 0

    def owes() -> bool:
        return not sieve.started or sieve.ended or sieve.sent > answered

    try:
        async with aclosing(calls.responses(call, owes)) as responses:
            async for response in responses:
                answered += 1
                yield response
    except asyncio.CancelledError:
        # grpc.aio cancels the call when the iterator of its requests raises.
        if sieve.failure is not None:
            raise sieve.failure from None
        raise
