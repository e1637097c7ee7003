"""The gRPC server: services, health, reflection, exposure, drain."""

from __future__ import annotations

import asyncio

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health  # type: ignore[attr-defined]  # its stubs forget it

from sidecar.config import Settings
from sidecar.errors import precondition
from sidecar.pb.cherche.v1 import (
    encoder_pb2_grpc,
    index_pb2_grpc,
    model_pb2_grpc,
    plugin_pb2_grpc,
    reranker_pb2_grpc,
    search_pb2_grpc,
)
from sidecar.rpc.encoder import EncoderServicer
from sidecar.rpc.index import IndexServicer
from sidecar.rpc.interceptors import AccessInterceptor
from sidecar.rpc.messages import MessageReader
from sidecar.rpc.models import ModelServicer
from sidecar.rpc.plugin import PluginServicer
from sidecar.rpc.reflection import add_reflection
from sidecar.rpc.reranker import RerankerServicer
from sidecar.rpc.search import SearchServicer
from sidecar.services import SERVICES, Services, check_exposure, serving
from sidecar.wire.tls import server_credentials

STREAMS = 256
"""Calls at once on one connection; a client keeps further ones waiting."""
HANDSHAKE_MS = 20_000
"""Milliseconds that a connection may take until it speaks TLS and HTTP/2."""


class Server:
    """A gRPC server of the contract.

    Parameters
    ----------
    services : Services
    settings : Settings

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT as `check_exposure`; FAILED_PRECONDITION where the port is taken.
    """

    def __init__(self, services: Services, settings: Settings) -> None:
        check_exposure(settings)
        self._settings = settings
        self._registry = services.registry
        limits = settings.limits
        self._reader = MessageReader(limits)
        access = AccessInterceptor(
            services.metrics, self._reader, settings.secret("token"), limits.deadline, limits.calls
        )
        options = [
            *self._reader.channel_options,
            ("grpc.max_send_message_length", limits.request_bytes),
            ("grpc.max_concurrent_streams", STREAMS),
            ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
            ("grpc.max_connection_idle_ms", round(limits.idle * 1000)),
            ("grpc.max_allowed_incoming_connections", limits.connections),
            # With it a stream's window grows to megabytes, which a caller without the token can fill too.
            ("grpc.http2.bdp_probe", 0),
            # By default a second sidecar on the port would bind too, and each would get some of the calls.
            ("grpc.so_reuseport", 0),
        ]
        self._server = grpc.aio.server(interceptors=[access], options=options)
        self._health = health.HealthServicer()
        self._health_task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._add(services)
        self.port = self._bind()

    @property
    def address(self) -> str:
        """host:port that clients on this machine connect to."""
        host = "127.0.0.1" if self._settings.host in ("0.0.0.0", "::", "[::]") else self._settings.host
        return f"{host}:{self.port}"

    async def start(self) -> None:
        """Begin to answer; health follows the models from now on."""
        self._registry.on_change(self._changed.set)
        await self._publish_health()
        self._health_task = asyncio.create_task(self._follow_health())
        await self._server.start()

    async def stop(self, grace: float) -> None:
        """Say so through health, refuse new calls, let those in flight end within `grace` seconds."""
        # First, or a model that changes its state would report SERVING again.
        if self._health_task is not None:
            self._health_task.cancel()
            await asyncio.gather(self._health_task, return_exceptions=True)
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace)
        self._reader.close()

    def _add(self, services: Services) -> None:
        server = self._server
        encoder_pb2_grpc.add_EncoderServiceServicer_to_server(EncoderServicer(services), server)
        reranker_pb2_grpc.add_RerankerServiceServicer_to_server(RerankerServicer(services), server)
        index_pb2_grpc.add_IndexServiceServicer_to_server(IndexServicer(services), server)
        search_pb2_grpc.add_SearchServiceServicer_to_server(SearchServicer(services), server)
        plugin_pb2_grpc.add_PluginServiceServicer_to_server(PluginServicer(services), server)
        model_pb2_grpc.add_ModelServiceServicer_to_server(ModelServicer(services), server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        add_reflection([*SERVICES, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name], server)

    def _bind(self) -> int:
        settings = self._settings
        host = f"[{settings.host}]" if ":" in settings.host and not settings.host.startswith("[") else settings.host
        address = f"{host}:{settings.port}"
        try:
            if settings.tls.cert is None:
                return self._server.add_insecure_port(address)
            return self._server.add_secure_port(address, server_credentials(settings.tls))
        except RuntimeError:
            raise precondition(
                f"{address} cannot be listened on", "choose another --port, or end what holds it"
            ) from None

    async def _follow_health(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._publish_health()

    async def _publish_health(self) -> None:
        for service, is_serving in serving(self._registry).items():
            status = (
                health_pb2.HealthCheckResponse.SERVING if is_serving else health_pb2.HealthCheckResponse.NOT_SERVING
            )
            await self._health.set(service, status)
