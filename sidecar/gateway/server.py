"""The ports of HTTP: the gateway's, and that of the metrics."""

from __future__ import annotations

from sidecar.config import Settings, Tls
from sidecar.gateway.port import Bounds, HttpPort
from sidecar.observe.metrics import Metrics
from sidecar.services import Services, check_exposure

SEND = 10.0
"""Seconds to send an answer, beyond the deadline for making it."""
SCRAPES = Bounds(connections=32, head=10.0, request=30.0)


def gateway_port(services: Services, settings: Settings) -> HttpPort:
    """The JSON dialects on a port of their own, with the token, certificates and limits of the gRPC port.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT where the port would be reachable unprotected, its page could be made to call any address, or
        a certificate cannot be read;
        FAILED_PRECONDITION where the port is taken.
    """
    from sidecar.gateway.app import create_app
    from sidecar.gateway.page.trying import check_clusters

    gateway = settings.gateway
    check_clusters(gateway, settings.secret("token"))
    check_exposure(settings.model_copy(update={"host": gateway.host}))
    return HttpPort(
        create_app(services, settings.secret("token"), gateway),
        gateway.host,
        gateway.port,
        name="the gateway",
        key="CHERCHE_GATEWAY__PORT",
        bounds=Bounds(gateway.connections, gateway.header_timeout, settings.limits.deadline + SEND),
        tls=settings.tls,
        drain=settings.drain,
    )


def metrics_port(metrics: Metrics, host: str, port: int) -> HttpPort:
    """The metrics on a port of their own.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION where it is taken.
    """
    return HttpPort(
        metrics.app(),
        host,
        port,
        name="the metrics port",
        key="CHERCHE_METRICS__PORT",
        bounds=SCRAPES,
        tls=Tls(),
        drain=0.0,
    )
