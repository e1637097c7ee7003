"""JSON over HTTP in the dialects that a cluster speaks without any plugin."""

from sidecar.gateway.app import create_app
from sidecar.gateway.server import Gateway

__all__ = ["Gateway", "create_app"]
