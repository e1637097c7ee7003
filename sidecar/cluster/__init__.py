"""A real OpenSearch for development and tests, assembled from Maven Central."""

from sidecar.cluster.run import Cluster, down, running_cluster, up

__all__ = ["Cluster", "down", "running_cluster", "up"]
