"""The engine that runs on a user's own OpenSearch cluster."""

from sidecar.engines.opensearch.engine import OpenSearchEngine

__all__ = ["OpenSearchEngine"]
