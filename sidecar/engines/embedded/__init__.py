"""An engine without a cluster: one SQLite file."""

from sidecar.engines.embedded.engine import EmbeddedEngine

__all__ = ["EmbeddedEngine"]
