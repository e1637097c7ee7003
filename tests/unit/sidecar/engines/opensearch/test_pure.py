"""Mappings, replies and refusals as plain values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sidecar.engines.opensearch import mapping
from sidecar.engines.opensearch.errors import TooManyClauses, classify, of_item, of_reply
from sidecar.engines.opensearch.hits import page, stored_document
from sidecar.errors import ChercheError, Code
from sidecar.values.index import Fingerprint, IndexMeta, IndexStats, TextField
from sidecar.values.search import Query

META = IndexMeta("m", Fingerprint("s", "c"), (TextField("title"),), 64)
NO_STATS = IndexStats(0, 0, 0)


def facts(mappings: Any = None, **settings: Any) -> mapping.IndexFacts:
    [found] = mapping.facts({"books-1": {"mappings": mappings or {}}}, {"books-1": {"settings": settings}})
    return found


def test_an_empty_index_gets_everything() -> None:
    [request] = mapping.additions([facts()], META)
    assert (request.method, request.path) == ("PUT", "/books-1/_mapping")
    assert request.body == {"properties": mapping.PROPERTIES, "_meta": {"cherche": META.to_json()}}


def test_a_whole_index_gets_nothing() -> None:
    body = {"properties": dict(mapping.PROPERTIES), "_meta": {"mine": 1, "cherche": META.to_json()}}
    assert mapping.additions([facts(body)], META) == ()
    [request] = mapping.removals([facts(body)])
    assert request.body == {"_meta": {"mine": 1}}
    assert mapping.removals([facts({"_meta": {"mine": 1}})]) == ()


def test_an_alias_over_different_setups_is_refused() -> None:
    one = facts({"_meta": {"cherche": META.to_json()}})
    assert mapping.read_meta("books", [one, one]) == META
    with pytest.raises(ChercheError, match="set up differently"):
        mapping.read_meta("books", [one, facts()])


@pytest.mark.parametrize("stored", [{}, {"version": 1}, "x", 3, {**META.to_json(), "fields": [1]}])
def test_a_meta_of_another_writer_is_a_typed_error(stored: Any) -> None:
    with pytest.raises(ChercheError, match="cannot read") as refused:
        mapping.read_meta("books", [facts({"_meta": {"cherche": stored}})])
    assert refused.value.code == Code.FAILED_PRECONDITION


@pytest.mark.parametrize(
    ("settings", "safe"),
    [
        ({}, False),
        ({"index.number_of_replicas": "0"}, False),
        ({"index.replication.type": "SEGMENT"}, True),
        ({"index.replication.type": "DOCUMENT", "index.number_of_replicas": "2"}, False),
    ],
)
def test_recovery_source_is_left_out_only_where_copies_keep_it(settings: Any, safe: bool) -> None:
    assert mapping.lean_recovery(settings, known=True) is safe
    assert mapping.lean_recovery(settings, known=False) is False


def test_another_models_documents_are_not_overwritten() -> None:
    found = [facts({"_meta": {"cherche": META.to_json()}})]
    other = replace(META, fingerprint=Fingerprint("s", "other"))
    mapping.check("books", found, other, NO_STATS)
    mapping.check("books", found, META, IndexStats(9, 9, 0))
    with pytest.raises(ChercheError, match="9 documents"):
        mapping.check("books", found, other, IndexStats(9, 9, 0))


def test_warnings_are_for_indices_that_need_them() -> None:
    lean = {"_source": {"excludes": ["cherche_*"]}}
    assert mapping.warnings([facts(lean)]) == ()
    assert "_source.excludes" in mapping.warnings([facts({"_source": {"excludes": ["cherche_codes"]}})])[0]
    bare = {"_source": {"excludes": ["cherche_*"], "recovery_source_excludes": ["*"]}}
    assert "recovery source" in mapping.warnings([facts(bare)])[0]
    assert mapping.warnings([facts(bare, **{"index.replication.type": "SEGMENT"})]) == ()


def test_an_upgrade_that_was_cut_off_is_named_and_a_block_of_somebody_elses_is_not() -> None:
    blocked = {"index.blocks.write": "true"}
    [said] = mapping.hazards([facts({"_meta": {mapping.UPGRADE: {"successor": "b"}}}, **blocked)])
    assert "cherche upgrade books-1 --replace" in said
    assert mapping.hazards([facts({}, **blocked), facts({"_meta": {mapping.UPGRADE: {}}})]) == ()


@pytest.mark.parametrize(
    ("source", "loses"),
    [
        ({}, False),
        ({"excludes": ["*"]}, False),
        ({"recovery_source_excludes": ["title"]}, False),
        ({"recovery_source_excludes": ["cherche_codes"]}, True),
        ({"recovery_source_excludes": ["cherche_*"]}, True),
        ({"recovery_source_enabled": False}, True),
        ({"recovery_source_enabled": "false"}, True),
        ({"recovery_source_includes": ["title"]}, True),
        ({"recovery_source_includes": ["title", "cherche_*"]}, False),
    ],
)
def test_an_index_whose_copies_lose_what_we_store_is_named(source: Any, loses: bool) -> None:
    said = mapping.hazards([facts({"_source": source})])
    assert bool(said) is loses
    assert all("move no shards" in one.rpartition(" — ")[2] for one in said)
    assert mapping.hazards([facts({"_source": source}, **{"index.replication.type": "SEGMENT"})]) == ()


@pytest.mark.parametrize(
    ("status", "kind", "reason", "code"),
    [
        (429, "rejected_execution_exception", "queue full", Code.RESOURCE_EXHAUSTED),
        (429, "circuit_breaking_exception", "heap", Code.RESOURCE_EXHAUSTED),
        (429, "", "slow down", Code.RESOURCE_EXHAUSTED),
        (404, "index_not_found_exception", "no such index [x]", Code.NOT_FOUND),
        (404, "search_context_missing_exception", "gone", Code.FAILED_PRECONDITION),
        (400, "mapper_parsing_exception", "bad", Code.INVALID_ARGUMENT),
        (400, "strict_dynamic_mapping_exception", "bad", Code.INVALID_ARGUMENT),
        (
            400,
            "mapper_parsing_exception",
            "field [cherche_weights] of type [rank_features] doesn't support synthetic source",
            Code.FAILED_PRECONDITION,
        ),
        (503, "cluster_block_exception", "[SERVICE_UNAVAILABLE/1/state not recovered]", Code.UNAVAILABLE),
        (403, "cluster_block_exception", "[FORBIDDEN/13/cluster read-only]", Code.FAILED_PRECONDITION),
        (403, "security_exception", "no permissions", Code.PERMISSION_DENIED),
        (401, "security_exception", "who", Code.UNAUTHENTICATED),
        (409, "version_conflict_engine_exception", "newer", Code.ABORTED),
        (404, "x", "no", Code.NOT_FOUND),
        (504, "x", "gateway", Code.UNAVAILABLE),
        (500, "x", "bug", Code.INTERNAL),
    ],
)
def test_refusals_have_a_kind_and_name_the_item(status: int, kind: str, reason: str, code: Code) -> None:
    error = classify(status, kind, reason, 'index "books"')
    assert error.code == code
    assert error.reason.startswith('index "books"')


@pytest.mark.parametrize("body", [None, "<html>", {}, {"error": "text"}, {"error": {"root_cause": []}}, 3])
def test_a_reply_of_any_shape_is_an_error(body: Any) -> None:
    assert of_reply(502, body, "x").code == Code.UNAVAILABLE
    assert of_item(500, body, "x").code == Code.INTERNAL


def test_a_nested_clause_limit_is_recognised() -> None:
    caused = {"type": "query_shard_exception", "caused_by": {"type": "too_many_clauses"}}
    reply = {"error": {"root_cause": [{"type": "q", "reason": "r"}], "failed_shards": [{"reason": caused}]}}
    assert isinstance(of_reply(400, reply, "x"), TooManyClauses)


def test_a_page_without_totals_is_a_lower_bound() -> None:
    raw = {"_id": "a", "_score": None, "sort": [1], "_source": {"t": 1, "cherche_hash": "h"}}
    found = page({"hits": {"hits": [raw]}}, Query("x", "bm25", (), offset=10), request={})
    assert (found.total, found.total_is_lower_bound, found.aggregations) == (11, True, None)
    [hit] = found.hits
    assert (hit.score, hit.source, hit.extra) == (0.0, {"t": 1}, {"sort": [1]})


def test_a_document_without_its_weights_counts_as_never_encoded() -> None:
    source = {"t": 1, "cherche_hash": "h", "cherche_state": "ok"}
    whole = stored_document({"_id": "a", "_source": source}, {"cherche_terms": ["dA"], "cherche_codes": ["Yw"]})
    assert (whole.hash, whole.state, whole.terms, whole.codes) == ("h", "ok", b"t", b"c")
    damaged = stored_document({"_id": "a", "_source": source}, {})
    assert (damaged.hash, damaged.state, damaged.terms) == ("", "pending", None)
    other = stored_document({"_id": "a", "_source": {"t": 1}}, {})
    assert (other.hash, other.state) == ("", None)
