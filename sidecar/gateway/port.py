"""An HTTP port: uvicorn inside the sidecar's own event loop, with bounds on connections and on their time."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from sidecar.config import Tls
from sidecar.errors import Code, invalid, precondition
from sidecar.gateway.json_text import plain

KEEP_ALIVE = 75  # seconds; longer than the idle time after which clusters drop pooled connections (60 s)


def _closing(status: str, code: Code, reason: str, next_step: str, headers: str = "") -> bytes:
    """An answer before there is a request: it has the shape of all errors, and ends the connection."""
    problem = {
        "error": f"{reason} — {next_step}",
        "error_type": code.value,
        "reason": reason,
        "next_step": next_step,
    }
    body = plain(problem)
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n{headers}"
    return f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()


_BUSY = _closing(
    "503 Service Unavailable",
    Code.UNAVAILABLE,
    "too many connections",
    "try again in a second",
    "retry-after: 1\r\n",
)
_NO_REQUEST = _closing("400 Bad Request", Code.INVALID_ARGUMENT, "the bytes are no HTTP request", "send HTTP/1.1")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the callers of a port may take.

    Attributes
    ----------
    connections : int
        At once; a further one is answered 503 and closed.
    head : float
        Seconds until the head of a request must be complete, from the connection or from its first byte.
    request : float
        Seconds from a request's head to the last byte of its answer.
    """

    connections: int
    head: float
    request: float


class HttpPort:
    """An ASGI application on a port.

    Parameters
    ----------
    app : ASGI application
    host : str
    port : int
        0 for a free one.
    name, key : str
        What listens, and the setting of its port, for messages.
    bounds : Bounds
    tls : Tls
        Certificates; none for plain HTTP.
    drain : float
        Seconds that requests in flight get at the end.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT where a certificate cannot be read; FAILED_PRECONDITION where the port is taken.
    """

    def __init__(
        self,
        app: Any,  # noqa: ANN401  # uvicorn's and starlette's types of an application differ
        host: str,
        port: int,
        *,
        name: str,
        key: str,
        bounds: Bounds,
        tls: Tls,
        drain: float,
    ) -> None:
        self._host = host
        self._is_encrypted = tls.cert is not None
        config = uvicorn.Config(
            app,
            http=_bounded(bounds),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=max(1, round(drain)),
            ssl_certfile=tls.cert,
            ssl_keyfile=tls.key,
            ssl_ca_certs=str(tls.client_ca) if tls.client_ca else None,
            ssl_cert_reqs=ssl.CERT_REQUIRED if tls.client_ca else ssl.CERT_NONE,
        )
        _load(config, name)
        self._server = _Uvicorn(config)
        self._socket = _listen(host, port, name, key)
        self._serving: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port it listens on."""
        port: int = self._socket.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """URL for clients on this machine."""
        host = "127.0.0.1" if self._host in ("0.0.0.0", "::", "[::]") else self._host
        named = f"[{host}]" if ":" in host and not host.startswith("[") else host
        return f"{'https' if self._is_encrypted else 'http'}://{named}:{self.port}"

    async def start(self) -> None:
        """Start serving."""
        self._serving = asyncio.create_task(self._server.serve([self._socket]))
        listening = asyncio.create_task(self._server.listening.wait())
        await asyncio.wait({self._serving, listening}, return_when=asyncio.FIRST_COMPLETED)
        # It ended before it listened: with the error that stopped it.
        if not listening.done():
            listening.cancel()
            self._serving.result()

    async def stop(self) -> None:
        """Refuse new connections; requests in flight have the drain time to finish."""
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving
        self._socket.close()


class _Uvicorn(uvicorn.Server):
    """A server that leaves signals to the sidecar and sets an event once it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


def _bounded(bounds: Bounds) -> type[H11Protocol]:
    """Uvicorn's connection with what it lacks (0.54): a cap before a request is read, and an end of every wait."""

    class Connection(H11Protocol):
        _timer: asyncio.TimerHandle | None = None
        _awaited: object = None  # "head", a request that is answered, or None between requests

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
            if len(self.connections) >= bounds.connections:
                self.transport = transport
                transport.write(_BUSY)
                transport.close()
                return
            super().connection_made(transport)
            self._await("head", bounds.head)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._await(None, 0.0)
            super().connection_lost(exc)

        def send_400_response(self, msg: str) -> None:
            self.transport.write(_NO_REQUEST)
            self.transport.close()

        def _watch(self) -> None:
            if self.cycle is not None and not self.cycle.response_complete:
                self._await(self.cycle, bounds.request)
            elif self.timeout_keep_alive_task is not None:
                self._await(None, 0.0)  # uvicorn ends it
            else:
                self._await("head", bounds.head)

        def _await(self, what: object, seconds: float) -> None:
            if what is self._awaited:
                return  # more bytes give no more time
            self._awaited = what
            if self._timer is not None:
                self._timer.cancel()
            # Not close(), which waits until the caller has read what is written.
            self._timer = None if what is None else self.loop.call_later(seconds, self.transport.abort)

    return Connection


def _listen(host: str, port: int, name: str, key: str) -> socket.socket:
    plain_host = host.strip("[]")
    family = socket.AF_INET6 if ":" in plain_host else socket.AF_INET
    # With the protocol named, asyncio turns off Nagle's algorithm, which costs an answer 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((plain_host, port))
    except OSError as error:
        listener.close()
        raise precondition(
            f"{name} cannot listen on {host}:{port}: {error.strerror or error}",
            f"set {key} to a free port, or to -1 for none",
        ) from None
    listener.setblocking(False)
    return listener


def _load(config: uvicorn.Config, name: str) -> None:
    try:
        config.load()
    except OSError as error:  # ssl.SSLError is one
        raise invalid(f"{name} cannot use the certificate: {error}", "name PEM files that belong together") from None
