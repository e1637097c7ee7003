"""TLS credentials of a gRPC server and of a channel to one."""

from __future__ import annotations

from pathlib import Path

import grpc

from sidecar.config import Tls
from sidecar.errors import invalid


def server_credentials(tls: Tls) -> grpc.ServerCredentials:
    """Credentials of a server; with a `client_ca` only clients with a certificate of that authority may connect.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for a certificate without its key, or a file that cannot be read.
    """
    if tls.cert is None or tls.key is None:
        raise invalid("TLS needs both a certificate and its key", "give --tls-cert and --tls-key")
    authority = _read_pem(tls.client_ca) if tls.client_ca else None
    pair = (_read_pem(tls.key), _read_pem(tls.cert))
    return grpc.ssl_server_credentials([pair], authority, require_client_auth=authority is not None)


def channel_credentials(tls: Tls | None) -> grpc.ChannelCredentials:
    """Credentials of a client: the authority it trusts, and its own certificate where it has one.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for a file that cannot be read.
    """
    tls = tls or Tls()
    authority = _read_pem(tls.ca) if tls.ca else None
    key, cert = (_read_pem(tls.key), _read_pem(tls.cert)) if tls.key and tls.cert else (None, None)
    return grpc.ssl_channel_credentials(authority, key, cert)


def _read_pem(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise invalid(f"{path} cannot be read: {error.strerror}", "name a PEM file") from None
