"""Where each dialect is spoken."""

from __future__ import annotations

OPENSEARCH_SPARSE = "/opensearch/v1/sparse"
ELASTICSEARCH_SPARSE = "/es/v1/sparse"
ELASTICSEARCH_ELSER = "/es/elser"
TEI_SPARSE = "/embed_sparse"
COHERE_RERANK = "/v1/rerank"
TEI_RERANK = "/rerank"
MULTIVECTOR = "/v1/multivector"
HEALTH = "/healthz"
