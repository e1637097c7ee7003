"""Search replies as pages, stored documents as values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sidecar.engines.opensearch import answers, hits
from sidecar.engines.opensearch.hits import stored_document
from sidecar.values.documents import StoredDocument
from sidecar.values.first_stage import EnginePage, Hits, Query, SparseClause


def page(reply: Any, query: Query, **options: Any) -> EnginePage:
    return hits.page(answers.found(reply, "search"), query, **options)


def test_a_page_without_totals_is_a_lower_bound() -> None:
    raw = {"_id": "a", "_score": None, "sort": [1], "_source": {"t": 1, "cherche_hash": "h"}}
    found = page({"hits": {"hits": [raw]}}, Query("x", "bm25", (), offset=10), request={})
    assert (found.total, found.total_is_lower_bound, found.aggregations) == (11, True, None)
    [hit] = found.hits
    assert (hit.score, hit.source, hit.extra) == (0.0, {"t": 1}, {"sort": [1]})


def test_a_document_without_its_weights_counts_as_never_encoded() -> None:
    source = {"t": 1, "cherche_digest": "h", "cherche_status": [{"ok": 1}]}
    whole = stored_document({"_id": "a", "_source": source}, {"cherche_terms": ["dA"], "cherche_codes": ["Yw"]})
    assert (whole.hash, whole.state, whole.terms, whole.codes) == ("h", "ok", b"t", b"c")
    damaged = stored_document({"_id": "a", "_source": source}, {})
    assert (damaged.hash, damaged.state, damaged.terms) == ("", "pending", None)
    other = stored_document({"_id": "a", "_source": {"t": 1}}, {})
    assert (other.hash, other.state) == ("", None)


def test_a_hit_says_what_it_holds_where_that_is_read() -> None:
    source = {"t": 1, "cherche_digest": "h", "cherche_status": [{"ok": 1}]}
    raw = {"_id": "a", "_score": 1.0, "_source": source, "fields": {"cherche_terms": ["dA"]}}
    reply = {"hits": {"hits": [raw, {**raw, "fields": {}}, {"_id": "b", "_score": 1.0}]}}
    asked = Query("x", "bm25", (), with_state=True)
    whole, lost, unread = page(reply, asked, request={}).hits
    assert whole.held == StoredDocument("a", {"t": 1}, "h", "ok", is_complete=True)
    assert lost.held == StoredDocument("a", {"t": 1}, "h", "ok", is_complete=False)
    assert unread.held is None
    assert [hit.held for hit in page(reply, replace(asked, with_state=False), request={}).hits] == [None] * 3
    [without_codes, *_] = page(reply, replace(asked, with_codes=True), request={}).hits
    assert without_codes.held is not None
    assert not without_codes.held.is_complete


def test_partial_results_are_warned_of() -> None:
    failures = [{"reason": {"reason": "shard burnt"}}]
    none = {"hits": [], "total": {"value": 0, "relation": "eq"}}
    shards = {"failed": 1, "total": 3, "failures": failures}
    reply = {"hits": none, "timed_out": True, "suggest": {}, "_shards": shards}
    found = page(reply, Query("x", "hybrid", ()), request={})
    assert [w for w in found.warnings if "time limit" in w]
    assert "1 of 3 shards failed: shard burnt" in found.warnings
    assert [w for w in found.warnings if "suggest" in w]
    assert found.partial


@pytest.mark.parametrize(
    ("raw", "mode", "sparse_parts", "parts"),
    [
        ({"matched_queries": {"cherche_lexical": 1.5, "cherche_sparse": 2.5}}, "hybrid", None, (4.0, 1.5, 2.5)),
        ({}, "bm25", None, (4.0, 4.0, 0.0)),
        ({}, "sparse", None, (4.0, 0.0, 4.0)),
        ({"matched_queries": ["cherche_lexical"]}, "hybrid", {"a": 3.0}, (4.0, 1.0, 3.0)),
    ],
    ids=["named scores", "bm25", "sparse", "a second search"],
)
def test_a_score_is_the_sum_of_its_parts(raw: Any, mode: Any, sparse_parts: Any, parts: Any) -> None:
    reply = {"hits": {"hits": [{"_id": "a", "_score": 4.0, **raw}]}}
    [hit] = page(reply, Query("x", mode, ()), request={}, sparse_parts=sparse_parts).hits
    assert (hit.score, hit.lexical, hit.sparse) == parts


def test_where_the_lexical_clause_alone_is_named_the_rest_of_a_score_is_the_sparse_part() -> None:
    raws = [
        {"_id": "both", "_score": 4.0, "matched_queries": {"cherche_lexical": 1.5, "mine": 7.0}},
        {"_id": "rounded", "_score": 3.0000002, "matched_queries": {"cherche_lexical": 3.0}},
        {"_id": "sparse alone", "_score": 2.0},
        {"_id": "and a name of the user's", "_score": 2.0, "matched_queries": {"mine": 7.0}},
    ]
    query = Query("x", "hybrid", (), clauses=(SparseClause(3, "run", 1.5),))
    found = page({"hits": {"hits": raws}}, query, request={}).hits
    assert [(hit.lexical, hit.sparse) for hit in found] == [(1.5, 2.5), (3.0, 0.0), (0.0, 2.0), (0.0, 2.0)]
    assert found[0].extra == {"matched_queries": {"mine": 7.0}}


def test_names_without_scores_say_nothing_of_parts() -> None:
    raw = {"_id": "a", "_score": 4.0, "matched_queries": ["cherche_lexical"]}
    query = Query("x", "hybrid", (), clauses=(SparseClause(3, "run", 1.5),))
    [hit] = page({"hits": {"hits": [raw]}}, query, request={}, sparse_parts={"a": 3.0}).hits
    assert (hit.lexical, hit.sparse) == (1.0, 3.0)


def test_of_two_phases_the_named_clause_has_a_part_of_the_terms_and_the_score_has_all() -> None:
    raws = [
        {"_id": "a", "_score": 4.0, "matched_queries": {"cherche_lexical": 1.5, "cherche_sparse": 2.0}},
        {"_id": "b", "_score": 3.0, "matched_queries": {"cherche_lexical": 3.0000002}},
    ]
    reply = {"hits": {"hits": raws, "total": {"value": 2, "relation": "eq"}}}
    found = page(reply, Query("x", "hybrid", (), first_terms=8), request={})
    assert [(hit.score, hit.lexical, hit.sparse) for hit in found.hits] == [(4.0, 1.5, 2.5), (3.0, 3.0000002, 0.0)]
    assert (found.first_terms, found.total, found.total_is_lower_bound) == (8, 2, True)


def test_hits_that_seismic_did_not_score_are_counted_and_so_are_its_hits_no_total() -> None:
    raws = [
        {"_id": "a", "_score": 4.0, "matched_queries": {"cherche_lexical": 1.5, "cherche_sparse": 2.5}},
        {"_id": "b", "_score": 3.0, "matched_queries": {"cherche_lexical": 3.0}},
    ]
    reply = {"hits": {"hits": raws, "total": {"value": 2, "relation": "eq"}}}
    query = Query("x", "hybrid", (), clauses=(SparseClause(1, "1", 1.0),), weights="seismic")
    found = page(reply, query, request={})
    assert found.warnings == (
        "1 of 2 hits have the score of BM25 alone: Seismic scores the 1,000 nearest of a segment",
    )
    assert [(hit.lexical, hit.sparse) for hit in found.hits] == [(1.5, 2.5), (3.0, 0.0)]
    assert found.total_is_lower_bound
    lexical = page(reply, replace(query, match_set="lexical"), request={})
    assert (lexical.total_is_lower_bound, lexical.warnings) == (False, found.warnings)
    for other in (replace(query, weights="rank_features"), replace(query, mode="bm25", clauses=())):
        plain = page(reply, other, request={})
        assert (plain.total_is_lower_bound, plain.warnings) == (False, ())
    scored = page({"hits": {**reply["hits"], "hits": raws[:1]}}, query, request={})
    assert scored.warnings == ()


def test_the_boost_of_an_index_is_in_both_parts() -> None:
    raw = {"_id": "a", "_score": 12.0, "matched_queries": {"cherche_lexical": 1.5, "cherche_sparse": 2.5}}
    reply = {"hits": {"hits": [raw, {**raw, "_score": None}, {**raw, "_score": 4.0}]}}
    found = page(reply, Query("x", "hybrid", (), body={"indices_boost": [{"books": 3}]}), request={}).hits
    parts = [(hit.score, hit.lexical, hit.sparse, hit.boost) for hit in found]
    assert parts == [(12.0, 4.5, 7.5, 3.0), (4.0, 1.5, 2.5, 1.0), (4.0, 1.5, 2.5, 1.0)]


def test_the_score_of_a_query_that_is_not_rewritten_is_all_lexical() -> None:
    raw = {"_id": "a", "_score": 4.0, "matched_queries": {"mine": 3.0}}
    [hit] = page({"hits": {"hits": [raw]}}, Query("x", "bm25", (), "none"), request={}).hits
    assert (hit.score, hit.lexical, hit.sparse, hit.extra) == (4.0, 4.0, 0.0, {"matched_queries": {"mine": 3.0}})


def test_unreadable_codes_are_none_and_the_hit_stays() -> None:
    fields = {"cherche_codes": ["%%% no base64"], "cherche_terms": ["dA"]}
    [hit] = page(
        {"hits": {"hits": [{"_id": "a", "_score": 1.0, "fields": fields}]}}, Query("x", "bm25", ()), request={}
    ).hits
    assert (hit.codes, hit.terms) == (None, b"t")


def test_a_hit_that_cannot_be_read_is_left_out_and_told() -> None:
    raws = [{"_id": "a", "_score": 1.0}, {"_source": {}}, {"_id": "c", "_score": 0.5}]
    found = page({"hits": {"hits": raws, "total": None}, "_shards": []}, Query("x", "bm25", ()), request={})
    assert [hit.id for hit in found.hits] == ["a", "c"]
    assert found.warnings == ("the cluster answered a hit that is left out: hit 1 has no _id",)


def test_only_the_callers_named_queries_are_passed_on() -> None:
    named = {"cherche_lexical": 1.0, "mine": 2.0}
    raw = {"_id": "a", "_score": 3.0, "matched_queries": named, "fields": {"year": [1], "cherche_terms": ["dA"]}}
    [hit] = page({"hits": {"hits": [raw]}}, Query("x", "hybrid", ()), request={}).hits
    assert hit.extra == {"matched_queries": {"mine": 2.0}, "fields": {"year": [1]}}


@pytest.mark.parametrize("score", [4.0, None], ids=["by score", "sorted"])
def test_what_hits_are_ordered_by_is_what_each_has(score: float | None) -> None:
    named = {"cherche_lexical": 1.5, "cherche_sparse": 2.5}
    raws = [{"_id": id, "_score": score, "matched_queries": named, "fields": {"cherche_codes": ["Yw"]}} for id in "ab"]
    found = page({"hits": {"hits": [*raws, {"_id": "c", "_score": score}]}}, Query("x", "hybrid", ()), request={}).hits
    assert found == Hits.of(list(found))
    assert Hits.of(found).ids == [hit.id for hit in found]
    assert Hits.of(found).scores == [hit.score for hit in found] == [4.0, 4.0, score or 0.0]
    assert Hits.of(found).codes == [hit.codes for hit in found] == [b"c", b"c", None]


@pytest.mark.parametrize("part", [{"_score": 10**400}, {"matched_queries": {"cherche_lexical": 10**400}}])
def test_a_number_that_no_float_holds_leaves_out_its_hit_alone(part: Any) -> None:
    raws = [{"_id": "a", "_score": 1.0}, {"_id": "b", "_score": 0.5, **part}]
    found = page({"hits": {"hits": raws}}, Query("x", "hybrid", ()), request={})
    assert [hit.id for hit in found.hits] == ["a"]
    assert len(found.warnings) == 1
