"""A real OpenSearch or Elasticsearch for development and tests, assembled from Maven Central."""

from sidecar.cluster.run import Cluster, Nodes, down, running_cluster, running_nodes, up

__all__ = ["Cluster", "Nodes", "down", "running_cluster", "running_nodes", "up"]
