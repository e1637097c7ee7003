"""The pure middle: text → tokens → weights → index → hits → rerank → response.

Whatever has a socket, a device or a clock comes in through `Context`.
"""

from sidecar.pipeline.context import Context, Limits
from sidecar.pipeline.explain import explain
from sidecar.pipeline.ingest import ingest
from sidecar.pipeline.pages import PageSigner
from sidecar.pipeline.search import search

__all__ = [
    "Context",
    "Limits",
    "PageSigner",
    "explain",
    "ingest",
    "search",
]
