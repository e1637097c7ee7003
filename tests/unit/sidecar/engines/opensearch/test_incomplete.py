"""Which documents lack weights or codes, as queries."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.engines.opensearch import bookkeeping, incomplete
from sidecar.engines.opensearch.mapping import IndexFacts
from sidecar.values.index import Fingerprint, Gaps, IndexMeta, TextField

META = IndexMeta("m", Fingerprint("s", "c"), (TextField("title"), TextField("parts.body")), 64)
TEXT = {"type": "text"}


def facts(properties: dict[str, Any]) -> IndexFacts:
    return IndexFacts("books", properties, (), (), {}, 0, False)


def text_filter(properties: dict[str, Any]) -> Any:
    """What `selection` asks of the text; None where it asks nothing."""
    lacking, exposed = incomplete.selection(META, [facts(properties)])["bool"]["should"]
    assert exposed == bookkeeping.is_exposed()
    clauses = lacking["bool"]["filter"]
    return clauses[0]["bool"]["should"] if clauses else None


def test_a_field_is_looked_for_where_it_lies() -> None:
    found = text_filter({"title": TEXT, "parts": {"type": "nested", "properties": {"body": TEXT}}})
    body = {"exists": {"field": "parts.body"}}
    assert found == [{"exists": {"field": "title"}}, {"nested": {"path": "parts", "query": body}}]
    assert text_filter({"title": TEXT, "parts": {"properties": {"body": TEXT}}})[1] == body


@pytest.mark.parametrize(
    "title",
    [{}, {"type": "text", "index": False}, {"type": "keyword", "ignore_above": 9}, {"type": "object"}],
    ids=["unmapped", "not indexed", "cut keyword", "object"],
)
def test_where_a_mapping_cannot_tell_every_document_is_read(title: dict[str, Any]) -> None:
    assert text_filter({"title": title, "parts": {"properties": {"body": TEXT}}}) is None


def test_codes_count_only_where_the_index_has_them() -> None:
    without = IndexMeta("m", Fingerprint("s"), (TextField("title"),), 64)
    assert "cherche_codes" not in str(incomplete.selection(without, [facts({"title": TEXT})]))
    assert incomplete.filters(without, [facts({"title": TEXT})])["without_codes"] == {"match_none": {}}
    assert "cherche_codes" in str(incomplete.selection(META, [facts({"title": TEXT})]))


def test_each_reason_has_its_query() -> None:
    assert tuple(incomplete.filters(META, [])) == tuple(Gaps.__dataclass_fields__)
