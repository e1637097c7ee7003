"""Middleware around every request: host, token, content type, size, deadline, disconnects, errors, logs and metrics."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import time
from collections.abc import Collection, Mapping
from types import MappingProxyType

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sidecar.config import Gateway, Limits, is_loopback
from sidecar.errors import ChercheError, Code, invalid, quoted
from sidecar.gateway.bounds import count_values, inflate
from sidecar.gateway.errors import (
    STATUSES,
    TOO_LARGE,
    UNPROCESSABLE,
    UNSUPPORTED_MEDIA,
    HttpError,
    Shape,
    neutral,
    response_of,
    too_large,
)
from sidecar.observe import logs, telemetry
from sidecar.observe.metrics import Metrics
from sidecar.services import deadline_exceeded, defect, too_deep, unauthenticated

OTHER = "other"
"""Label of unknown paths, so that a scanner cannot add series to the metrics."""

CODES: Mapping[int, str] = MappingProxyType(
    {
        # Reversed: where several codes have one status, the first in the table names it.
        **{status: code.value for code, status in reversed(list(STATUSES.items()))},
        TOO_LARGE: Code.INVALID_ARGUMENT.value,
        UNPROCESSABLE: Code.INVALID_ARGUMENT.value,
        UNSUPPORTED_MEDIA: Code.INVALID_ARGUMENT.value,
        405: Code.INVALID_ARGUMENT.value,
    }
)

VALUES_PER_ITEM = 8
"""JSON values for each text that a request may have; a text in an object of its own takes four."""
_FEWEST_VALUES = 1024
"""Characters of a header that an error repeats."""
_AT_ONCE = 1 << 16
"""Bytes up to which values are counted on the event loop."""


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
    gateway : Gateway
        Hosts and the size of a request.
    token : str
        What callers present as ``Authorization: Bearer …``; "" for no check.
    paths : collection of str
        Paths that have a label of their own in the metrics; one that ends in a parameter is that of all below it.
    open_paths : collection of str
        Paths that need no token.
    shapes : mapping of str to Shape
        Of errors, by path; a `Problem` as it is for other paths.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        limits: Limits,
        gateway: Gateway,
        token: str,
        paths: Collection[str],
        open_paths: Collection[str],
        shapes: Mapping[str, Shape],
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._limits = limits
        self._gateway = gateway
        self._bytes = min(gateway.body_bytes, limits.request_bytes)
        self._values = max(_FEWEST_VALUES, VALUES_PER_ITEM * limits.items)
        self._expected = f"Bearer {token}".encode() if token else b""
        self._paths = frozenset(paths)
        self._above = {path.partition("{")[0]: path for path in paths if path.endswith("}")}
        self._open_paths = frozenset(open_paths)
        self._shapes = shapes
        self._log = logs.get("gateway")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        name = self._label(scope["path"])
        started = time.monotonic()
        status = 0

        async def recording(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        code = Code.CANCELLED.value
        traces = telemetry.http(scope["method"], name, scope["scheme"], Headers(scope=scope))
        with traces as traced, self._metrics.call(name) as ended:
            try:
                failure = await self._handle(name, scope, receive, recording)
                # A response that has begun has its status already.
                if failure is not None and not status:
                    await response_of(failure, self._shapes.get(name, neutral))(scope, receive, recording)
                code = CODES.get(status, "OK" if status < 400 else Code.INTERNAL.value)
            except _Disconnected:
                pass
            finally:
                ended(code)
                traced(status)
                seconds = round(time.monotonic() - started, 6)
                self._log.info("request", method=name, status=status, code=code, seconds=seconds)

    def _label(self, path: str) -> str:
        if path in self._paths:
            return path
        return next((label for above, label in self._above.items() if path.startswith(above)), OTHER)

    async def _handle(self, name: str, scope: Scope, receive: Receive, send: Send) -> ChercheError | None:
        """Run the application; the error that it did not answer itself, if any."""
        try:
            async with asyncio.timeout(self._limits.deadline):
                headers = Headers(scope=scope)
                self._check_host(headers.get("host", ""))
                self._check_token(scope["path"], headers)
                if scope["method"] == "POST":
                    _check_content_type(headers.get("content-type", ""))
                body = await self._decoded(headers, await self._body(headers, receive))
                await self._check_values(body)
                await self._answer(scope, body, receive, send)
        except ChercheError as error:
            return error
        except TimeoutError:
            return deadline_exceeded(name)
        except RecursionError:
            return too_deep(name)
        except _Disconnected:
            raise
        except Exception as error:
            self._log.exception("defect", method=name)
            return defect(name, error)
        return None

    def _check_host(self, header: str) -> None:
        """Refuse a name that is not this gateway's: a page may have pointed its own name here (DNS rebinding)."""
        host = hostname(header)
        allowed = self._gateway.hosts
        if (host in allowed) if allowed else (not is_loopback(self._gateway.host) or _is_local(host)):
            return
        raise ChercheError(
            Code.PERMISSION_DENIED,
            f"the gateway is not called {quoted(header)}",
            "call it by its address, or add the name to CHERCHE_GATEWAY__HOSTS on the server",
        )

    def _check_token(self, path: str, headers: Headers) -> None:
        # A scheme has no case (RFC 9110, 11.1): Cohere's client of version 4 sends BEARER.
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        # Starlette decodes headers as latin-1: these are the bytes that were sent.
        given = f"{scheme.capitalize()} {credentials}".encode("latin-1")
        if self._expected and path not in self._open_paths and not hmac.compare_digest(given, self._expected):
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

    async def _decoded(self, headers: Headers, body: bytes) -> bytes:
        """The body without its content encoding; its limit is that of a plain one.

        Raises
        ------
        ChercheError
            415 for an encoding that is not read; 413 beyond the limit; 400 for bytes that are no gzip.
        """
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding in ("", "identity"):
            return body
        if encoding not in ("gzip", "x-gzip"):
            problem = invalid(f"the content encoding is {quoted(encoding)}", "send gzip, or none")
            raise HttpError(problem, UNSUPPORTED_MEDIA)
        try:
            plain = await asyncio.to_thread(inflate, body, self._bytes)
        except ValueError as error:
            raise invalid(f"the body is not gzip: {error}", "send what content-encoding says") from None
        self._check_size(len(plain))
        return plain

    def _check_size(self, size: int) -> None:
        if size > self._bytes:
            raise too_large(
                f"the request has more than {self._bytes:,} bytes",
                "send fewer texts at once, or raise CHERCHE_GATEWAY__BODY_BYTES on the server",
            )

    async def _check_values(self, body: bytes) -> None:
        """Refuse a body that parsing would make too many objects of, or that is in another encoding than UTF-8."""
        if not json.detect_encoding(body).startswith("utf-8"):
            raise invalid("the body is not UTF-8", "send JSON in UTF-8")
        large = len(body) > _AT_ONCE
        count = await asyncio.to_thread(count_values, body, self._values) if large else count_values(body, self._values)
        if count > self._values:
            raise too_large(
                f"the request has more than {self._values:,} JSON values",
                "send fewer texts at once, or raise CHERCHE_LIMITS__ITEMS on the server",
            )

    async def _answer(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        application = asyncio.ensure_future(self._app(scope, _replay(body), send))
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


def hostname(header: str) -> str:
    """The name or address in a Host header, without its port.

    >>> hostname("Localhost:50552"), hostname("[::1]:80"), hostname("127.0.0.1")
    ('localhost', '::1', '127.0.0.1')
    """
    bare = header.rpartition("]")[0].removeprefix("[") if header.startswith("[") else header.partition(":")[0]
    return bare.lower().removesuffix(".")


def _is_local(host: str) -> bool:
    """Whether no other machine's owner can have given this name: an address, or localhost."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return True


def _check_content_type(header: str) -> None:
    """Refuse what a web page can send to another site without asking it first (Fetch standard, safelisted headers)."""
    main = header.partition(";")[0].strip().lower()
    if main == "application/json" or (main.startswith("application/") and main.endswith("+json")):
        return
    problem = invalid(
        f"the content type is {quoted(header)}" if header else "the request has no content type",
        "send content-type: application/json; in a connector it is one of its headers",
    )
    raise HttpError(problem, UNSUPPORTED_MEDIA)


def _replay(body: bytes) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
