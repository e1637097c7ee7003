"""A channel to one sidecar, or to several with the load spread over those that serve."""

from __future__ import annotations

import json
import socket
from typing import Any

import grpc

from sidecar.config import Tls, is_loopback
from sidecar.errors import invalid, unavailable
from sidecar.wire.tls import channel_credentials

DNS = "dns:///"
SECURE = "https://"
_READS = (
    ("EncoderService", ""),
    ("RerankerService", ""),
    ("SearchService", ""),
    ("IndexService", "GetIndex"),
    ("IndexService", "ListIndices"),
    ("ModelService", "ListModels"),
    ("ModelService", "GetModel"),
)
# gRPC lets its pause between two tries grow to two minutes, and varies it by a fifth: here it ends at 2.4 s.
_BALANCED = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.dns_min_time_between_resolutions_ms", 2000),  # 30 s by default
)

Options = list[tuple[str, Any]]


def is_balanced(address: str) -> bool:
    """Whether an address may stand for several sidecars: a list, or a name that is looked up again.

    >>> is_balanced("10.0.0.1:50551,10.0.0.2:50551"), is_balanced("dns:///sidecar:50551"), is_balanced("sidecar:50551")
    (True, True, False)
    """
    return "," in address or address.removeprefix(SECURE).startswith(DNS)


def service_config() -> dict[str, Any]:
    """How gRPC spreads calls: in turn over the sidecars that report SERVING.

    One that was gone is used at most 2.4 s after it says SERVING: see `_BALANCED`.

    What only reads is sent to another sidecar where one cannot be reached; what writes is not
    repeated here. A tenth of a token a success bounds the repetitions where all are gone (gRPC
    proposals A6 and A17).
    """
    names = [
        {"service": f"cherche.v1.{service}", **({"method": method} if method else {})} for service, method in _READS
    ]
    retry = {
        "maxAttempts": 4,
        "initialBackoff": "0.02s",
        "maxBackoff": "0.5s",
        "backoffMultiplier": 3,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    return {
        "loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": ""},
        "methodConfig": [{"name": names, "retryPolicy": retry}],
        "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.1},
    }


def target(address: str) -> str:
    """What gRPC calls an address; the names of a list are looked up now, once.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for an entry that is not host:port; UNAVAILABLE for a name nobody knows.

    >>> target("sidecar:50551"), target("127.0.0.1:1,127.0.0.2:2")
    ('sidecar:50551', 'ipv4:127.0.0.1:1,127.0.0.2:2')
    """
    plain = address.removeprefix(SECURE).removeprefix("http://")
    if "," not in plain:
        return plain
    found = [_looked_up(entry.strip()) for entry in plain.split(",")]
    for scheme, family in (("ipv4", socket.AF_INET), ("ipv6", socket.AF_INET6)):
        if all(family in each for each in found):
            return f"{scheme}:{','.join(each[family] for each in found)}"
    raise invalid(f"{address} mixes IPv4 and IPv6", "give all sidecars as addresses of one kind")


def is_private(address: str, tls: Tls | None) -> bool:
    """Whether nobody on the way reads what is sent: by TLS, or since it stays on this machine.

    >>> [is_private(address, None) for address in ("127.0.0.1:50551", "sidecar:50551", "https://sidecar:50551")]
    [True, False, True]
    """
    if address.startswith(SECURE) or (tls is not None and tls.ca is not None):
        return True
    entries = address.removeprefix("http://").removeprefix(DNS).split(",")
    return address.startswith("unix:") or all(is_loopback(_host(entry)) for entry in entries)


def check_privacy(address: str, tls: Tls | None, what: str) -> None:
    """Refuse to send a secret where others could read it on its way.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT naming how to encrypt it, or to send it anyway.
    """
    if not is_private(address, tls):
        plain = address.removeprefix("http://")
        raise invalid(
            f"{plain} is another machine, and {what} would go there in plain text",
            f"use {SECURE}{plain}, or name its authority (CHERCHE_TLS__CA), or add --insecure (CHERCHE_INSECURE=true)",
        )


def open_channel(address: str, tls: Tls | None, message_bytes: int) -> grpc.aio.Channel:
    """A channel; encrypted for ``https://host:port``, and where `tls` names an authority to trust.

    Over TLS every sidecar of a list must have the first one's name in its certificate.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for a file that cannot be read; as `target`.
    """
    options: Options = [
        ("grpc.max_receive_message_length", message_bytes),
        ("grpc.max_send_message_length", message_bytes),
    ]
    if is_balanced(address):
        options += [*_BALANCED, ("grpc.service_config", json.dumps(service_config()))]
    if not address.startswith(SECURE) and (tls is None or tls.ca is None):
        return grpc.aio.insecure_channel(target(address), options=options)
    if "," in address:
        options.append(("grpc.ssl_target_name_override", _first_host(address)))
    return grpc.aio.secure_channel(target(address), channel_credentials(tls), options=options)


def _looked_up(entry: str) -> dict[int, str]:
    """Numeric form of one host:port, by family."""
    host, colon, port = entry.rpartition(":")
    if not (host and colon and port.isdecimal()):
        raise invalid(f"{entry!r} is not host:port", "give sidecars as host:port,host:port")
    try:
        answers = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except OSError as error:
        raise unavailable(f"the host {host!r} cannot be found: {error.strerror}", "check its name") from None
    shown = {socket.AF_INET: "{}:{}", socket.AF_INET6: "[{}]:{}"}
    # Reversed: of several addresses of a family the resolver's first one stays.
    return {family: shown[family].format(found[0], port) for family, _, _, _, found in reversed(answers)}


def _first_host(address: str) -> str:
    return _host(address.removeprefix(SECURE).split(",")[0])


def _host(entry: str) -> str:
    """The host of host:port."""
    return entry.strip().rpartition(":")[0].strip("[]")
