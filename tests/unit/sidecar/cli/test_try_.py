"""BM25 beside the rerank: what moved."""

from __future__ import annotations

import pytest

from sidecar.cli.output import Output
from sidecar.cli.session import Session
from sidecar.cli.try_ import Comparison, read_queries, replace_target, summary
from sidecar.errors import ChercheError, Code
from sidecar.values.index import Fingerprint
from sidecar.values.search import Hit, RerankOutcome, RerankStatus, ScoreParts, SearchResult, Timings


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


def test_queries_are_lines_with_text() -> None:
    assert read_queries(b"\xef\xbb\xbf one \n\n two\n", "q.txt") == ["one", "two"]


@pytest.mark.parametrize(
    ("data", "reason"), [(b" \n", "q.txt holds no query"), (b"a\xff", "q.txt is not UTF-8 at byte 1")]
)
def test_a_file_without_queries_is_named(data: bytes, reason: str) -> None:
    with pytest.raises(ChercheError, match=reason) as refused:
        read_queries(data, "q.txt")
    assert refused.value.code is Code.INVALID_ARGUMENT


def test_the_cluster_is_searched_whatever_server_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHERCHE_SERVER", "127.0.0.1:1")
    settings = replace_target(Session(Output()), "http://cluster:9200").settings()
    assert (settings.server, settings.engine, settings.url) == ("", "opensearch", "http://cluster:9200")
