"""Mappings: what is added, taken out again, and warned of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sidecar.engines.opensearch import bookkeeping, mapping
from sidecar.errors import ChercheError, Code
from sidecar.values.index import Fingerprint, IndexMeta, IndexStats, TextField

ROOT = Path(__file__).parents[5]
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


def test_the_narrowest_index_of_a_group_limits_its_searches() -> None:
    settings = {"index.max_result_window": "50"}
    assert mapping.groups([facts()])[0].max_window == 10_000
    assert mapping.groups([facts(), facts(**settings)])[0].max_window == 50
    meta = {"_meta": {"cherche": META.to_json()}}
    assert [group.max_window for group in mapping.groups([facts(), facts(meta, **settings)])] == [10_000, 50]


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


def test_an_index_of_an_earlier_release_gets_the_fields_that_no_search_matches() -> None:
    old = {"properties": {"cherche_hash": {"type": "keyword"}}, "_meta": {"cherche": {}}}
    [request] = mapping.hiding({"a": {"mappings": old}, "plain": {"mappings": {}}})
    assert (request.method, request.path) == ("PUT", "/a/_mapping")
    assert request.body == {"properties": bookkeeping.PROPERTIES}
    assert mapping.hiding({"a": {"mappings": {**old, "properties": dict(mapping.PROPERTIES)}}}) == ()
    assert set(mapping.completed(old["properties"], META)) == set(mapping.PROPERTIES)
