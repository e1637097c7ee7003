from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from sidecar.client.checks import text_problem
from sidecar.client.stream import Sieve, answers
from sidecar.config import Limits
from sidecar.values.encoded import Text

LIMITS = Limits(document_bytes=10)


async def test_a_sieve_knows_where_items_came_from() -> None:
    async def stream() -> AsyncIterator[Text]:
        for text in ("a", "x" * 99, "b", "\ud800", "\udc00", "c"):
            yield Text(text)

    sieve = Sieve(LIMITS, text_problem)
    assert [text.text async for text in sieve.sound(stream())] == ["a", "b", "c"]
    assert [sieve.original(i) for i in range(3)] == [0, 2, 5]
    assert [place for place, _, _ in sieve.refused()] == [1, 3, 4]
    assert sieve.refused() == []
    assert (sieve.sent, sieve.ended, sieve.failure) == (3, True, None)


async def test_a_sieve_remembers_what_its_source_raised() -> None:
    async def stream() -> AsyncIterator[Text]:
        yield Text("a")
        raise OSError("gone")

    sieve = Sieve(LIMITS, text_problem)
    with pytest.raises(OSError, match="gone"):
        [text async for text in sieve.sound(stream())]
    assert isinstance(sieve.failure, OSError)
    assert not sieve.ended


class Answering:
    """In place of `Calls`: two responses, and then the end that the test wants."""

    def __init__(self, end: BaseException | None = None) -> None:
        self.end = end
        self.owed: list[bool] = []

    async def responses(self, call: object, owes: Callable[[], bool]) -> AsyncIterator[str]:
        for response in ("one", "two"):
            self.owed.append(owes())
            yield response
        self.owed.append(owes())
        if self.end is not None:
            raise self.end


async def collected(calls: Any, sieve: Sieve[Text]) -> list[str]:
    async with aclosing(answers(calls, None, sieve)) as responses:
        return [response async for response in responses]


async def test_an_answer_is_owed_for_every_text_that_was_sent() -> None:
    calls, sieve = Answering(), Sieve(LIMITS, text_problem)
    sieve.started, sieve.sent = True, 2
    assert await collected(calls, sieve) == ["one", "two"]
    assert calls.owed == [True, True, False]


async def test_what_the_callers_iterator_raised_is_raised_instead_of_the_cancellation() -> None:
    sieve = Sieve(LIMITS, text_problem)
    sieve.failure = OSError("gone")
    with pytest.raises(OSError, match="gone"):
        await collected(Answering(asyncio.CancelledError()), sieve)
    sieve.failure = None
    with pytest.raises(asyncio.CancelledError):
        await collected(Answering(asyncio.CancelledError()), sieve)
