"""Neural search beside an OpenSearch or Elasticsearch cluster."""

__version__ = "0.1.0"
