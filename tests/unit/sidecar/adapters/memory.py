"""A client that answers from memory and keeps what it was asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sidecar.errors import invalid
from sidecar.values.documents import Json
from sidecar.values.encoded import RerankFailure, RerankResult, RerankScore, Text
from sidecar.values.index import Fingerprint
from sidecar.values.search import Hit, RerankOutcome, ScoreParts, SearchResult, Timings

SOURCES: tuple[Json, ...] = (
    {"title": "Cars", "text": "a red car", "year": 1999},
    {"title": "", "text": ["a car", "on the road"], "tags": ["x"]},
    {"year": 2001},
)


@dataclass
class MemoryClient:
    """Gives all its sources, and scores texts by the words that they share with the query."""

    sources: Sequence[Json] = SOURCES
    rerank_outcome: RerankOutcome = field(default_factory=RerankOutcome)
    asked: list[dict[str, Any]] = field(default_factory=list)

    def search(self, index: str, text: str, **options: Any) -> SearchResult:
        self.asked.append({"index": index, "text": text, **options})
        parts = ScoreParts(lexical=0.0, sparse=0.0, first_stage=0.0, first_stage_rank=1)
        hits = tuple(Hit(str(i), i + 1, 9.0 - i, parts, source) for i, source in enumerate(self.sources))
        return SearchResult(hits, len(hits), False, self.rerank_outcome, Fingerprint("", ""), Timings())

    def rerank(self, query: str, texts: Sequence[str | Text], *, model: str = "") -> RerankResult:
        self.asked.append({"query": query, "texts": list(texts), "model": model})
        words = set(query.split())
        shared = {i: len(words & set(str(text).split())) for i, text in enumerate(texts) if str(text).strip()}
        scores = sorted(shared, key=lambda i: -shared[i])
        refused = invalid("the document is empty", "leave it out, or give it text")
        failures = tuple(RerankFailure(i, "", refused) for i in range(len(texts)) if i not in shared)
        return RerankResult(tuple(RerankScore(i, "", float(shared[i])) for i in scores), failures, 0, "m", Timings())
