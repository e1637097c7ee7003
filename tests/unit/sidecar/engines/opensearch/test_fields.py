"""Fields that are to be encoded, against mappings that people have."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.engines.opensearch import fields, mapping
from sidecar.errors import ChercheError
from sidecar.values.index import ANOTHER_INDEX, Fingerprint, IndexMeta, TextField

TEXT = {"type": "text"}


def facts(properties: dict[str, Any], settings: dict[str, Any] | None = None, **root: Any) -> Any:
    body = {"mappings": {"properties": properties, **root}}
    return mapping.facts({"books": body}, {"books": {"settings": settings or {}}})


def checked(found: Any, *names: str, documents: int = 9) -> tuple[str, ...]:
    meta = IndexMeta("m", Fingerprint("s"), tuple(map(TextField, names)), 64)
    return fields.check("books", found, meta, documents)


@pytest.mark.parametrize(
    ("name", "properties", "reason"),
    [
        ("nope", {"title": TEXT}, "'nope': no such field in 'books', and none of its 9 documents has one"),
        ("year", {"year": {"type": "integer"}}, "is of type integer"),
        ("at", {"at": {"type": "date"}}, "is of type date"),
        ("body", {"body": {"properties": {"en": TEXT}}}, "is of type object"),
        ("raw", {"raw": {"type": "text", "index": False}}, "has index: false"),
        ("other", {"other": {"type": "alias", "path": "title"}}, "is an alias"),
        ("title.keyword", {"title": {**TEXT, "fields": {"keyword": {"type": "keyword"}}}}, "is a sub-field"),
        ("blob.text", {"blob": {"type": "object", "enabled": False}}, "enabled: false"),
    ],
)
def test_a_field_that_cannot_be_encoded_or_searched_is_refused(
    name: str, properties: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ChercheError, match=reason) as refused:
        checked(facts(properties), name)
    assert refused.value.next_step


def test_fields_that_are_searched_are_welcome_wherever_they_lie() -> None:
    nested = {"type": "nested", "include_in_root": True, "properties": {"body": TEXT}}
    found = facts({"title": TEXT, "tag": {"type": "keyword"}, "parts": nested, "meta": {"properties": {"a": TEXT}}})
    assert checked(found, "title", "tag", "parts.body", "meta.a") == ()
    flat = {"meta": {"subobjects": False, "properties": {"info.body": TEXT, "info": TEXT}}}
    assert checked(facts(flat), "meta.info.body", "meta.info") == ()


def test_a_field_that_copies_fill_is_pointed_out_as_they_are_not_encoded() -> None:
    parts = {"properties": {"note": {**TEXT, "copy_to": ["other", "all"]}}}
    [line] = checked(facts({"title": {**TEXT, "copy_to": "all"}, "parts": parts, "all": TEXT}), "title", "all")
    assert line.startswith("field 'all' of index \"books\" is filled by copy_to from parts.note, title: ")


def test_words_that_only_nested_queries_find_are_pointed_out() -> None:
    [line] = checked(facts({"parts": {"type": "nested", "properties": {"body": TEXT}}}), "parts.body")
    assert "of a plain query BM25 finds none of its words — map parts with include_in_root" in line


def test_a_field_of_an_empty_index_may_come_with_its_first_document() -> None:
    assert checked(facts({"title": TEXT}), "title", "nope") == (
        "'nope': no document of 'books' has such a field — name those that hold text with --fields, such as title",
    )
    [line] = checked(facts({}), "title", documents=0)
    assert "the first document that has it decides its type" in line
    for dynamic in ("strict", False):
        with pytest.raises(ChercheError, match="its mapping takes no others"):
            checked(facts({}, dynamic=dynamic), "title", documents=0)


def test_one_of_several_indices_may_lack_a_field() -> None:
    assert checked((*facts({"title": TEXT}), *facts({"other": TEXT})), "title") == ()


@pytest.mark.parametrize(
    ("settings", "source", "reason"),
    [
        ({}, {"enabled": False}, "keeps no _source"),
        ({"index.derived_source.enabled": "true"}, {}, "derives its _source"),
        ({"index.mapping.source.mode": "synthetic"}, {}, "has a synthetic _source"),
        ({}, {"mode": "synthetic"}, "has a synthetic _source"),
        ({}, {"excludes": ["ti*"]}, "left out of _source"),
        ({}, {"excludes": ["head"]}, "left out of _source"),
        ({}, {"includes": ["text"]}, "left out of _source"),
    ],
)
def test_documents_that_cannot_be_read_back_are_refused(
    settings: dict[str, Any], source: dict[str, Any], reason: str
) -> None:
    found = facts({"title": TEXT, "head": {"properties": {"line": TEXT}}}, settings, _source=source)
    with pytest.raises(ChercheError, match=reason):
        checked(found, "title", "head.line")


@pytest.mark.parametrize(
    ("source", "hidden"),
    [
        ({}, ""),
        ({"excludes": ["cherche_weights", "cherche_terms", "cherche_codes", "secret"]}, ""),
        ({"excludes": ["cherche_*"]}, "cherche_digest and cherche_status"),
        ({"excludes": ["*"]}, "cherche_digest and cherche_status"),
        ({"excludes": ["cherche_status.ok"]}, "cherche_status"),
        ({"includes": ["title"]}, "cherche_digest and cherche_status"),
        ({"includes": ["title", "cherche_d*"]}, "cherche_status"),
        ({"includes": ["title", "cherche_*"]}, ""),
    ],
)
def test_an_index_that_does_not_show_what_is_encoded_is_named_and_not_backfilled(
    source: dict[str, Any], hidden: str
) -> None:
    found = facts({"title": TEXT}, _source=source)
    said = fields.hazards(found)
    assert [line.split(" of _source")[0] for line in said] == ([f'index "books" leaves {hidden} out'] if hidden else [])
    assert " and ".join(mapping.groups(found)[0].hidden) == hidden
    assert all(line.endswith(f" — {ANOTHER_INDEX}") for line in said)


def test_what_is_included_with_its_object_can_be_read() -> None:
    found = facts({"head": {"properties": {"line": TEXT}}}, _source={"includes": ["head"]})
    assert checked(found, "head.line") == ()
