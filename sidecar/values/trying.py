"""A cluster's own BM25 beside MaxSim over the same hits, of an index that nothing was set up in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sidecar.values.index import DEFAULT_WINDOW
from sidecar.values.search import Hit, SearchRequest, SearchResult

TOP = 10


def try_request(
    index: str,
    text: str = "",
    *,
    model: str = "",
    fields: Sequence[str] = (),
    top: int = TOP,
    window: int = DEFAULT_WINDOW,
    weight: float | None = None,
) -> SearchRequest:
    """The one search that both orders come from: BM25, whose best hits are encoded on the fly and reranked.

    Parameters
    ----------
    model : str
        "" for the sidecar's default.
    fields : sequence of str
        None for those of the index that look like text.
    top : int
        Hits that will be compared.
    window : int
        Hits that are reranked.
    weight : float or None
        Share of MaxSim; the model's own where None.
    """
    return SearchRequest(
        index=index,
        text=text,
        model=model,
        mode="bm25",
        rerank=True,
        rerank_window=window,
        rerank_weight=weight,
        size=max(top, window),
        fields=tuple(fields),
    )


@dataclass(frozen=True, slots=True)
class Comparison:
    """One query's two orders over the same hits: by BM25, and after the rerank."""

    text: str
    result: SearchResult
    top: int = TOP

    @property
    def reranked(self) -> list[Hit]:
        """The top after the rerank."""
        return list(self.result.hits[: self.top])

    @property
    def lexical(self) -> list[Hit]:
        """The top as the cluster ranks it."""
        return sorted(self.result.hits, key=lambda hit: hit.parts.first_stage_rank)[: self.top]

    @property
    def overlap(self) -> int:
        """Hits that both tops have."""
        return len({hit.id for hit in self.lexical} & {hit.id for hit in self.reranked})

    @property
    def risen(self) -> list[Hit]:
        """Hits of the new top that came from below the old one."""
        return [hit for hit in self.reranked if hit.parts.first_stage_rank > self.top]

    def to_json(self) -> dict[str, Any]:
        """Both orders, and what moved."""
        return {
            "query": self.text,
            "bm25": [hit.id for hit in self.lexical],
            "reranked": [{"id": hit.id, "rank": hit.rank, "was": hit.parts.first_stage_rank} for hit in self.reranked],
            "overlap": self.overlap,
            "risen": [hit.id for hit in self.risen],
            "rerank_status": self.result.rerank.status,
        }


def summary(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """All queries, and means over them."""
    return {
        "queries": [comparison.to_json() for comparison in comparisons],
        "mean_overlap": round(sum(c.overlap for c in comparisons) / len(comparisons), 2),
        "first_hit_changed": sum(c.reranked[0].id != c.lexical[0].id for c in comparisons if c.reranked),
        "risen": sum(len(c.risen) for c in comparisons),
        "rerank_status": dict(Counter(c.result.rerank.status for c in comparisons)),
        "rerank_weight": comparisons[0].result.rerank.weight,
    }
