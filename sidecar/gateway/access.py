"""Middleware around every request: token, size limit, deadline, disconnects, errors, logs and metrics."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Collection, Mapping
from types import MappingProxyType

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sidecar.config import Limits
from sidecar.errors import ChercheError, Code
from sidecar.gateway.errors import STATUSES, TOO_LARGE, UNPROCESSABLE, response_of, too_large
from sidecar.observe import logs
from sidecar.observe.metrics import Metrics
from sidecar.services import deadline_exceeded, defect, unauthenticated

HEALTH = "/healthz"
"""Path that needs no token."""

OTHER = "other"
"""Label of unknown paths, so that a scanner cannot add series to the metrics."""

CODES: Mapping[int, str] = MappingProxyType(
    {
        # Reversed: where several codes have one status, the first in the table names it.
        **{status: code.value for code, status in reversed(list(STATUSES.items()))},
        TOO_LARGE: Code.INVALID_ARGUMENT.value,
        UNPROCESSABLE: Code.INVALID_ARGUMENT.value,
        405: Code.INVALID_ARGUMENT.value,
    }
)


class _Disconnected(Exception):
    """The caller closed the connection."""


class AccessMiddleware:
    """ASGI middleware that authenticates, limits, logs, measures and turns errors into responses.

    It does for this port what the interceptor does for gRPC.

    The body is read before the application runs, so that a later disconnect is noticed and the work cancelled.

    Parameters
    ----------
    app : ASGI application
    metrics : Metrics
    limits : Limits
    token : str
        What callers present as ``Authorization: Bearer …``; "" for no check.
    paths : collection of str
        Paths that have a label of their own in the metrics.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics, limits: Limits, token: str, paths: Collection[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._limits = limits
        self._expected = f"Bearer {token}".encode() if token else b""
        self._paths = frozenset(paths)
        self._log = logs.get("gateway")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        name = scope["path"] if scope["path"] in self._paths else OTHER
        started = time.monotonic()
        status = 0

        async def recording(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        code = Code.CANCELLED.value
        with self._metrics.call(name) as ended:
            try:
                failure = await self._handle(name, scope, receive, recording)
                # A response that has begun has its status already.
                if failure is not None and not status:
                    await response_of(failure)(scope, receive, recording)
                code = CODES.get(status, "OK" if status < 400 else Code.INTERNAL.value)
            except _Disconnected:
                pass
            finally:
                ended(code)
                seconds = round(time.monotonic() - started, 6)
                self._log.info("request", method=name, status=status, code=code, seconds=seconds)

    async def _handle(self, name: str, scope: Scope, receive: Receive, send: Send) -> ChercheError | None:
        """Run the application; the error that it did not answer itself, if any."""
        try:
            async with asyncio.timeout(self._limits.deadline):
                self._check_token(name, scope)
                body = await self._body(Headers(scope=scope), receive)
                await self._answer(scope, body, receive, send)
        except ChercheError as error:
            return error
        except TimeoutError:
            return deadline_exceeded(name)
        except _Disconnected:
            raise
        except Exception as error:
            self._log.exception("defect", method=name)
            return defect(name, error)
        return None

    def _check_token(self, name: str, scope: Scope) -> None:
        # Starlette decodes headers as latin-1: these are the bytes that were sent.
        given = Headers(scope=scope).get("authorization", "").encode("latin-1")
        if self._expected and name != HEALTH and not hmac.compare_digest(given, self._expected):
            raise unauthenticated()

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        """The whole body.

        Raises
        ------
        ChercheError
            413 beyond the limit, before more is read.
        """
        declared = headers.get("content-length", "")
        self._check_size(int(declared) if declared.isdecimal() else 0)
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Disconnected
            part: bytes = message.get("body", b"")
            size += len(part)
            self._check_size(size)
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)

    def _check_size(self, size: int) -> None:
        if size > self._limits.request_bytes:
            raise too_large(
                f"the request has more than {self._limits.request_bytes:,} bytes",
                "send fewer texts at once, or raise CHERCHE_LIMITS__REQUEST_BYTES on the server",
            )

    async def _answer(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        application = asyncio.ensure_future(self._app(_as_json(scope), _replay(body), send))
        disconnect = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait({application, disconnect}, return_when=asyncio.FIRST_COMPLETED)
            # The caller has gone: what follows ends the work for it.
            if not application.done():
                raise _Disconnected
            application.result()
        finally:
            application.cancel()
            disconnect.cancel()
            await asyncio.gather(application, disconnect, return_exceptions=True)


def _as_json(scope: Scope) -> Scope:
    """Set the content type to JSON: templates of connectors send other ones, or none."""
    kept = [(name, value) for name, value in scope["headers"] if name != b"content-type"]
    return {**scope, "headers": [*kept, (b"content-type", b"application/json")]}


def _replay(body: bytes) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
