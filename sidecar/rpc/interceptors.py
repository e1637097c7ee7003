"""What every call passes through: token, admission, message limits, deadline, errors, logs, metrics.

gRPC reads and parses the request of a unary method before it calls the handler. Every method is therefore served as one
that streams requests, which looks the same on the wire: its handler reads the message itself, once the token is checked
and the call admitted. Until then gRPC takes no more of the message than its flow-control window.
"""

from __future__ import annotations

import asyncio
import hmac
import inspect
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import Message
from grpc_status import rpc_status

from sidecar.errors import ChercheError, Code, invalid, overloaded
from sidecar.observe import logs, telemetry
from sidecar.observe.metrics import Metrics
from sidecar.rpc.call import Call
from sidecar.rpc.messages import RETRY_AFTER, Held, MessageReader, request_of
from sidecar.services import deadline_exceeded, defect, too_deep, unauthenticated
from sidecar.wire.status import to_status

# Probes of orchestrators and load balancers present no token.
OPEN = ("/grpc.health.v1.Health/",)
OWN = "/cherche.v1."
LOGGED_EVERY = 1.0
"""Seconds between two log lines on calls without the token: callers whom nobody knows must not fill a disk."""
PATIENT = frozenset(
    {"ModelService/LoadModel", "ModelService/UnloadModel", "IndexService/SetupIndex", "IndexService/RemoveIndex"}
)
"""Calls whose work grows with a model or an index: the caller alone bounds them."""

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Metadata: TypeAlias = Iterable[tuple[str, str | bytes]]


class AccessInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # not generic at run time
    """Runs every handler inside one block that authenticates, bounds, reports and translates errors.

    Parameters
    ----------
    metrics : Metrics
    reader : MessageReader
    token : str
        What callers present as ``authorization: Bearer …``; "" asks for nothing.
    deadline : float
        Seconds that a unary call gets at most; see `PATIENT`.
    calls : int
        Calls of `OWN` in progress at once; more are refused.
    """

    def __init__(
        self, metrics: Metrics, reader: MessageReader, token: str = "", deadline: float = 60.0, calls: int = 1024
    ) -> None:
        self._metrics = metrics
        self._reader = reader
        self._expected = f"Bearer {token}".encode() if token else b""
        self._deadline = deadline
        self._most = calls
        self._calls = 0
        self._log = logs.get("rpc")
        self._unauthenticated = rpc_status.to_status(to_status(unauthenticated()))
        self._refusing = grpc.stream_unary_rpc_method_handler(self._abort_unread)
        self._strangers, self._strangers_logged = 0, -math.inf

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Wrap the handler of a method; this runs before its request is received."""
        method = handler_call_details.method
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler  # type: ignore[return-value]  # None: grpc answers UNIMPLEMENTED
        if not self._is_authenticated(method, handler_call_details.invocation_metadata or ()):
            return self._refused(method)
        return self._streaming(handler, method) if handler.response_streaming else self._single(handler, method)

    def _is_authenticated(self, method: str, metadata: Metadata) -> bool:
        if not self._expected or method.startswith(OPEN):
            return True
        given = dict(metadata).get("authorization", "")
        return hmac.compare_digest(str(given).encode(), self._expected)

    def _refused(self, method: str) -> Handler:
        """Take note of a call without the token; its handler reads nothing."""
        if method.startswith(OWN):
            name, code = method.removeprefix(OWN), Code.UNAUTHENTICATED.value
            self._metrics.requests.labels(name, code).inc()
            self._strangers += 1
            now = time.monotonic()
            if now - self._strangers_logged >= LOGGED_EVERY:
                self._log.info("call", method=name, code=code, seconds=0.0, calls=self._strangers)
                self._strangers, self._strangers_logged = 0, now
        return self._refusing

    async def _abort_unread(self, requests: Any, context: Any) -> None:  # noqa: ANN401  # grpc's types
        await _tell(context, self._unauthenticated)

    def _single(self, handler: Handler, method: str) -> Handler:
        """One response; served as a method that streams requests."""
        receive = self._receiver(handler, method)
        behaviour: Any = handler.stream_unary if handler.request_streaming else handler.unary_unary

        async def call(requests: Any, context: Any) -> Any:  # noqa: ANN401  # grpc's types
            async with self._around(method, context, streams=False):
                with self._reader.holding(streams=handler.request_streaming) as held:
                    return await behaviour(await receive(context, held), context)

        return grpc.stream_unary_rpc_method_handler(call, None, handler.response_serializer)

    def _streaming(self, handler: Handler, method: str) -> Handler:
        """Several responses; served as a method that streams requests too."""
        receive = self._receiver(handler, method)
        behaviour: Any = handler.stream_stream if handler.request_streaming else handler.unary_stream

        async def write(requests: Any, context: Any) -> None:  # noqa: ANN401  # grpc's types
            async with self._around(method, context, streams=True):
                with self._reader.holding(streams=handler.request_streaming) as held:
                    await behaviour(await receive(context, held), context)

        async def generate(requests: Any, context: Any) -> AsyncIterator[Any]:  # noqa: ANN401  # grpc's types
            async with self._around(method, context, streams=True):
                with self._reader.holding(streams=handler.request_streaming) as held:
                    async for response in behaviour(await receive(context, held), context):
                        yield response

        # Health's Watch writes its responses instead of yielding them.
        call: Any = write if inspect.iscoroutinefunction(behaviour) else generate
        return grpc.stream_stream_rpc_method_handler(call, None, handler.response_serializer)

    def _receiver(self, handler: Handler, method: str) -> Callable[[Call, Held], Awaitable[Any]]:
        """What gives a handler its request, or its iterator of requests."""
        kind, reader = request_of(method), self._reader

        async def messages(context: Call, held: Held) -> AsyncIterator[Message]:
            while (message := await reader.read(kind, context, held)) is not None:
                yield message

        async def iterator(context: Call, held: Held) -> AsyncIterator[Message]:
            return messages(context, held)

        async def single(context: Call, held: Held) -> Message:
            message = await reader.read(kind, context, held)
            if message is None:
                raise invalid("the call ended before its request", "send one message")
            return message

        return iterator if handler.request_streaming else single

    @asynccontextmanager
    async def _around(self, method: str, context: Call, *, streams: bool) -> AsyncIterator[None]:
        if not method.startswith(OWN):
            # Health and reflection: neither logged nor measured, as probes come every few seconds.
            try:
                yield
            except ChercheError as error:
                await _abort(context, error)
            return
        name = method.removeprefix(OWN)
        started = time.monotonic()
        code = "UNKNOWN"
        self._calls += 1
        metadata = dict(context.invocation_metadata() or ())
        with (
            telemetry.rpc(method.removeprefix("/"), metadata, streams=streams) as traced,
            self._metrics.call(name) as ended,
        ):
            try:
                async with asyncio.timeout(None if streams else self._allowed(name, context)):
                    if self._calls > self._most:
                        raise overloaded(f"{self._most:,} calls are in progress", RETRY_AFTER)
                    yield
                code = "OK"
            except ChercheError as error:
                code = error.code.value
                await _abort(context, error)
            except TimeoutError:
                code = Code.DEADLINE_EXCEEDED.value
                await _abort(context, deadline_exceeded(name))
            except RecursionError:
                code = Code.INVALID_ARGUMENT.value
                await _abort(context, too_deep(name))
            except (asyncio.CancelledError, GeneratorExit):
                code = Code.CANCELLED.value
                raise
            except grpc.aio.AbortError:
                # The handler has aborted the call itself: aborting it again is a usage error in grpc.aio.
                raise
            except Exception as error:
                code = Code.INTERNAL.value
                self._log.exception("defect", method=name)
                await _abort(context, defect(name, error))
            finally:
                self._calls -= 1
                ended(code)
                traced(code)
                self._log.info("call", method=name, code=code, seconds=round(time.monotonic() - started, 6))

    def _allowed(self, name: str, context: Call) -> float | None:
        remaining: float | None = context.time_remaining()
        if name in PATIENT:
            return remaining
        return self._deadline if remaining is None else min(self._deadline, max(0.0, remaining))


async def _abort(context: Any, error: ChercheError) -> None:  # noqa: ANN401  # grpc's context
    await _tell(context, rpc_status.to_status(to_status(error)))


async def _tell(context: Any, status: grpc.Status) -> None:  # noqa: ANN401  # grpc's context
    try:
        await context.abort_with_status(status)
    except grpc.aio.InternalError:
        # The caller has gone: nobody is left to answer, and gRPC would log a traceback for each such call.
        raise asyncio.CancelledError from None
