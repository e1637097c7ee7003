"""What every call passes through: token, deadline, errors, logs, metrics."""

from __future__ import annotations

import asyncio
import hmac
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import grpc
from grpc_status import rpc_status

from sidecar.errors import ChercheError, Code
from sidecar.observe import logs
from sidecar.observe.metrics import Metrics
from sidecar.rpc.call import Call
from sidecar.services import deadline_exceeded, defect, unauthenticated
from sidecar.wire.status import to_status

# Probes of orchestrators and load balancers present no token.
OPEN = ("/grpc.health.v1.Health/",)
OWN = "/cherche.v1."
PATIENT = frozenset(
    {"ModelService/LoadModel", "ModelService/UnloadModel", "IndexService/SetupIndex", "IndexService/RemoveIndex"}
)
"""Calls whose work grows with a model or an index: the caller alone bounds them."""

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Around = Callable[[str, Any, bool], AbstractAsyncContextManager[None]]


class AccessInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # not generic at run time
    """Runs every handler inside one block that authenticates, bounds, reports and translates errors.

    Parameters
    ----------
    metrics : Metrics
    token : str
        What callers present as ``authorization: Bearer …``; "" asks for nothing.
    deadline : float
        Seconds that a unary call gets at most; see `PATIENT`.
    """

    def __init__(self, metrics: Metrics, token: str = "", deadline: float = 60.0) -> None:
        self._metrics = metrics
        self._expected = f"Bearer {token}".encode() if token else b""
        self._deadline = deadline
        self._log = logs.get("rpc")

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Wrap the handler of a method."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler  # type: ignore[return-value]  # None: grpc answers UNIMPLEMENTED
        return _wrapped(handler, handler_call_details.method, self._around)

    @asynccontextmanager
    async def _around(self, method: str, context: Call, streams: bool) -> AsyncIterator[None]:
        if not method.startswith(OWN):
            # Health and reflection: neither logged nor measured, as probes come every few seconds.
            if not self._authenticated(method, context):
                await _abort(context, unauthenticated())
            yield
            return
        name = method.removeprefix(OWN)
        started = time.monotonic()
        code = "UNKNOWN"
        with self._metrics.call(name) as ended:
            try:
                async with asyncio.timeout(None if streams else self._allowed(name, context)):
                    if not self._authenticated(method, context):
                        raise unauthenticated()
                    yield
                code = "OK"
            except ChercheError as error:
                code = error.code.value
                await _abort(context, error)
            except TimeoutError:
                code = Code.DEADLINE_EXCEEDED.value
                await _abort(context, deadline_exceeded(name))
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
                ended(code)
                self._log.info("call", method=name, code=code, seconds=round(time.monotonic() - started, 6))

    def _allowed(self, name: str, context: Call) -> float | None:
        remaining: float | None = context.time_remaining()
        if name in PATIENT:
            return remaining
        return self._deadline if remaining is None else min(self._deadline, max(0.0, remaining))

    def _authenticated(self, method: str, context: Call) -> bool:
        if not self._expected or method.startswith(OPEN):
            return True
        given = dict(context.invocation_metadata() or ()).get("authorization", "")
        return hmac.compare_digest(str(given).encode(), self._expected)


async def _abort(context: Any, error: ChercheError) -> None:  # noqa: ANN401  # grpc's context
    await context.abort_with_status(rpc_status.to_status(to_status(error)))


def _wrapped(handler: Handler, method: str, around: Around) -> Handler:
    """The same handler inside `around`."""
    if handler.response_streaming:
        behaviour = handler.stream_stream if handler.request_streaming else handler.unary_stream
        yields = not inspect.iscoroutinefunction(behaviour)  # health's Watch writes instead
        streaming = _streaming(behaviour, method, around) if yields else _single(behaviour, method, around, True)
        make = (
            grpc.stream_stream_rpc_method_handler if handler.request_streaming else grpc.unary_stream_rpc_method_handler
        )
        return make(streaming, handler.request_deserializer, handler.response_serializer)
    behaviour = handler.stream_unary if handler.request_streaming else handler.unary_unary
    single = _single(behaviour, method, around)
    make = grpc.stream_unary_rpc_method_handler if handler.request_streaming else grpc.unary_unary_rpc_method_handler
    return make(single, handler.request_deserializer, handler.response_serializer)


def _single(behaviour: Any, method: str, around: Around, streams: bool = False) -> Any:  # noqa: ANN401
    async def call(request: Any, context: Any) -> Any:  # noqa: ANN401
        async with around(method, context, streams):
            return await behaviour(request, context)

    return call


def _streaming(behaviour: Any, method: str, around: Around) -> Any:  # noqa: ANN401  # grpc's handler
    async def call(request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: ANN401
        async with around(method, context, True):
            async for response in behaviour(request, context):
                yield response

    return call
