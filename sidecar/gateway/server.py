"""The HTTP port: uvicorn inside the sidecar's own event loop."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from sidecar.config import Settings
from sidecar.errors import invalid, precondition
from sidecar.gateway.app import create_app
from sidecar.services import Services, check_exposure

KEEP_ALIVE = 75  # seconds; longer than the idle time after which clusters drop pooled connections (60 s)


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


class GatewayServer:
    """The JSON dialects on a port of their own, with the token, certificates and limits of the gRPC port.

    Parameters
    ----------
    services : Services
    settings : Settings

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT where the port would be reachable unprotected, or a certificate cannot be read;
        FAILED_PRECONDITION where the port is taken.
    """

    def __init__(self, services: Services, settings: Settings) -> None:
        check_exposure(settings.model_copy(update={"host": settings.gateway.host}))
        self._settings = settings
        tls = settings.tls
        config = uvicorn.Config(
            create_app(services, settings.secret("token")),
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=max(1, round(settings.drain)),
            ssl_certfile=tls.cert,
            ssl_keyfile=tls.key,
            ssl_ca_certs=str(tls.client_ca) if tls.client_ca else None,
            ssl_cert_reqs=ssl.CERT_REQUIRED if tls.client_ca else ssl.CERT_NONE,
        )
        _load(config)
        self._server = _Uvicorn(config)
        self._socket = _listen(settings.gateway.host, settings.gateway.port)
        self._serving: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port it listens on."""
        port: int = self._socket.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """URL for clients on this machine."""
        host = self._settings.gateway.host
        host = "127.0.0.1" if host in ("0.0.0.0", "::", "[::]") else host
        named = f"[{host}]" if ":" in host and not host.startswith("[") else host
        return f"{'https' if self._settings.tls.cert else 'http'}://{named}:{self.port}"

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


def _listen(host: str, port: int) -> socket.socket:
    plain = host.strip("[]")
    family = socket.AF_INET6 if ":" in plain else socket.AF_INET
    # With the protocol named, asyncio turns off Nagle's algorithm, which costs an answer 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((plain, port))
    except OSError as error:
        listener.close()
        raise precondition(
            f"the gateway cannot listen on {host}:{port}: {error.strerror or error}",
            "set CHERCHE_GATEWAY__PORT to a free port, or to -1 for none",
        ) from None
    listener.setblocking(False)
    return listener


def _load(config: uvicorn.Config) -> None:
    try:
        config.load()
    except OSError as error:  # ssl.SSLError is one
        raise invalid(
            f"the gateway cannot use the certificate: {error}", "name PEM files that belong together"
        ) from None
