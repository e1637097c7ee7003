"""BM25 beside the rerank: what moved."""

from __future__ import annotations

from sidecar.values.index import Fingerprint
from sidecar.values.search import Hit, RerankOutcome, RerankStatus, ScoreParts, SearchResult, Timings
from sidecar.values.trying import Comparison, summary, try_request


def compared(*ranks: int, top: int = 2) -> Comparison:
    """Hits in the order of the rerank; `ranks` are those of BM25."""
    hits = tuple(
        Hit(f"d{before}", rank, 1.0, ScoreParts(1.0, 0.0, 1.0, before), {}) for rank, before in enumerate(ranks, 1)
    )
    outcome = RerankOutcome(RerankStatus.APPLIED, weight=0.5)
    return Comparison("text", SearchResult(hits, len(hits), False, outcome, Fingerprint("s"), Timings()), top)


def test_both_orders_are_cut_at_the_top() -> None:
    assert compared(3, 1, 2).to_json() == {
        "query": "text",
        "bm25": ["d1", "d2"],
        "reranked": [{"id": "d3", "rank": 1, "was": 3}, {"id": "d1", "rank": 2, "was": 1}],
        "overlap": 1,
        "risen": ["d3"],
        "rerank_status": "APPLIED",
    }


def test_the_summary_counts_over_all_queries() -> None:
    report = summary([compared(3, 1, 2), compared(1, 2), compared()])
    assert report["mean_overlap"] == 1.0
    assert (report["first_hit_changed"], report["risen"]) == (1, 1)
    assert (report["rerank_status"], report["rerank_weight"]) == ({"APPLIED": 3}, 0.5)


def test_the_window_is_fetched_whole() -> None:
    assert try_request("articles", "words", top=10, window=50).size == 50
    assert try_request("articles", "words", top=10, window=5).size == 10
    assert (try_request("articles").mode, try_request("articles").rerank) == ("bm25", True)
