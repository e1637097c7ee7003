"""Clients of a running sidecar, which need neither torch nor transformers.

`Client` waits, `AsyncClient` is for an event loop; both take words and mappings and give typed values.

    from sidecar.client import Client

    with Client("localhost:50551") as client:
        for hit in client.search("articles", "does aspirin prevent stroke", rerank=True).hits:
            print(hit.rank, hit.id, hit.score, hit.source["title"])
"""

from sidecar.client.asynchronous import AsyncClient, FeedReport, SearchOptions
from sidecar.client.blocking import Client
from sidecar.errors import ChercheError, Code
from sidecar.values.encoded import EncodedText, EncodeResult, RerankResult, RerankScore, Text
from sidecar.values.index import IndexList, IndexOptions, IndexReport, IndexSummary, SetupResult, TextField
from sidecar.values.model import ServedModel
from sidecar.values.search import Explanation, Hit, SearchResult

__all__ = [
    "AsyncClient",
    "ChercheError",
    "Client",
    "Code",
    "EncodeResult",
    "EncodedText",
    "Explanation",
    "FeedReport",
    "Hit",
    "IndexList",
    "IndexOptions",
    "IndexReport",
    "IndexSummary",
    "RerankResult",
    "RerankScore",
    "SearchOptions",
    "SearchResult",
    "ServedModel",
    "SetupResult",
    "Text",
    "TextField",
]
