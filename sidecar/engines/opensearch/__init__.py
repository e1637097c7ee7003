"""The engine that runs on a user's own OpenSearch cluster."""

from sidecar.engines.opensearch.engine import OpenSearchEngine
from sidecar.engines.opensearch.kept_codes import KeptCodes

__all__ = ["KeptCodes", "OpenSearchEngine"]
