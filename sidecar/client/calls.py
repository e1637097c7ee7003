"""Calls of a client: channel, deadline, retries, errors."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

import grpc
from google.rpc import status_pb2

from sidecar.errors import ChercheError, Code, invalid, unavailable
from sidecar.observe import telemetry
from sidecar.wire.status import from_status, to_code

DETAILS = "grpc-status-details-bin"
ATTEMPTS = 4
PATIENCE = 3600.0
"""Seconds for calls whose work grows with a model or an index."""
_FIRST_PAUSE = 0.1
_LOST = "Internal error from Core"  # details that grpc.aio 1.85 gives then; see ReasonLost
# What gRPC itself says of a message beyond the limit of either side, with both numbers in bytes.
_TOO_LARGE = re.compile(r"essage larger than max \((\d+) vs\. (\d+)\)")
_END = object()


class ReasonLost(ChercheError):
    """A stream that the sidecar ended while it was being written to: grpc.aio then loses the status that says why."""


class Calls:
    """Makes calls to one address with the same metadata and deadline.

    Parameters
    ----------
    address : str
        For messages.
    metadata : tuple of (key, value)
    timeout : float
        Seconds for a unary call, retries included.
    """

    def __init__(self, address: str, metadata: tuple[tuple[str, str], ...], timeout: float) -> None:
        self._address = address
        self._metadata = metadata
        self._timeout = timeout

    async def unary(
        self,
        method: Any,  # noqa: ANN401  # grpc's stub
        request: Any,  # noqa: ANN401  # a message
        timeout: float = 0.0,
    ) -> Any:  # noqa: ANN401  # a message
        """Call, and call again while that may help and time is left; `timeout` instead of the usual one.

        Raises
        ------
        ChercheError
        """
        deadline = time.monotonic() + (timeout or self._timeout)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                left = max(0.001, deadline - time.monotonic())
                return await method(request, timeout=left, metadata=self._headers())
            except grpc.aio.AioRpcError as failure:
                error = self.error(failure)
                pause = _pause(error, attempt)
                if pause is None or time.monotonic() + pause >= deadline:
                    raise error from None
                await asyncio.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def stream(self, method: Any, request: Any) -> Any:  # noqa: ANN401  # grpc's stubs and messages
        """Begin a call that streams; it has no deadline of its own and is never repeated."""
        return method(request, metadata=self._headers())

    def _headers(self) -> tuple[tuple[str, str], ...]:
        """The metadata of a call, and of the trace that it is a part of."""
        return (*self._metadata, *telemetry.carried().items())

    async def responses(
        self,
        call: Any,  # noqa: ANN401  # grpc's call
        owes: Callable[[], bool] = lambda: True,
    ) -> AsyncGenerator[Any, None]:
        """The responses of a stream; leaving early cancels it.

        Parameters
        ----------
        call : a streaming call
        owes : callable
            Whether the sidecar owes an answer: then silence of `timeout` seconds is an error.

        Raises
        ------
        ChercheError
        """
        messages = aiter(call)  # call.read() would drop what had arrived before the status did
        try:
            while (response := await self._next(messages, owes)) is not _END:
                yield response
        except grpc.aio.AioRpcError as failure:
            raise self.error(failure) from None
        finally:
            call.cancel()

    async def _next(self, messages: AsyncIterator[Any], owes: Callable[[], bool]) -> Any:  # noqa: ANN401
        reading = asyncio.ensure_future(anext(messages, _END))
        try:
            while True:
                # Not wait_for, which would cancel the read: silence is no error while nothing is owed.
                done, _ = await asyncio.wait([reading], timeout=self._timeout)
                if done:
                    return reading.result()
                if owes():
                    raise self._silent()
        finally:
            reading.cancel()

    def _silent(self) -> ChercheError:
        return ChercheError(
            Code.DEADLINE_EXCEEDED,
            f"the sidecar at {self._address} did not answer within {self._timeout:g} s",
            "see whether it is overloaded, or raise CHERCHE_LIMITS__DEADLINE",
        )

    def error(self, failure: grpc.aio.AioRpcError) -> ChercheError:
        """What a failed call means."""
        trailing: Any = failure.trailing_metadata() or ()
        for key, value in trailing:
            if key == DETAILS and isinstance(value, bytes):
                return from_status(status_pb2.Status.FromString(value))
        code = to_code(failure.code().name)
        if code is Code.UNAVAILABLE:
            return unavailable(f"no sidecar answers at {self._address}", "start one with: cherche serve")
        if code is Code.CANCELLED:  # not by this side: that raises CancelledError
            return unavailable(f"the sidecar at {self._address} is being stopped", "try again, or another sidecar")
        if code is Code.DEADLINE_EXCEEDED:
            return self._silent()
        if code is Code.INTERNAL and failure.details() == _LOST:
            return ReasonLost(
                Code.UNAVAILABLE, f"the sidecar at {self._address} ended the stream", "run the same again"
            )
        details = failure.details() or failure.code().name
        if sizes := _TOO_LARGE.search(details):
            size, limit = map(int, sizes.groups())
            # Not RESOURCE_EXHAUSTED, as gRPC has it: the same message would be refused again.
            return invalid(
                f"a message to or from the sidecar at {self._address} has {size:,} bytes, the limit is {limit:,}",
                "send fewer items per call, or raise CHERCHE_LIMITS__REQUEST_BYTES here and on the server",
            )
        return ChercheError(code, f"the sidecar at {self._address} refused: {details}")


def _pause(error: ChercheError, attempt: int) -> float | None:
    """Seconds before the next attempt; None where there is none."""
    if attempt == ATTEMPTS:
        return None
    if error.retry_after is not None:
        # Never earlier than stated, and spread, or all who were refused at once would return at once.
        return float(error.retry_after * random.uniform(1.0, 1.25))
    if error.code is Code.UNAVAILABLE:
        return float(_FIRST_PAUSE * 2 ** (attempt - 1) * random.uniform(0.5, 1.5))
    return None
