"""Which documents of an index lack what their text should have given them. Pure.

A partial update writes a document anew from its ``_source``, in which weights, terms and codes are not: unless
an ingest pipeline encodes it again, they are gone and only BM25 finds it. Their hash and state stay behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sidecar.engines.opensearch import bookkeeping
from sidecar.engines.opensearch.mapping import IndexFacts, path_to
from sidecar.values.documents import CODES, TERMS, Json
from sidecar.values.index import IndexMeta

_OK = bookkeeping.is_in("ok")
# An empty string counts as a value of a text field.
_NO_TEXT = bookkeeping.is_in("no_text")


def selection(meta: IndexMeta, found: Sequence[IndexFacts]) -> dict[str, Any]:
    """Query for every document that has text and lacks weights or codes, or waits for them, or is exposed.

    Parameters
    ----------
    meta : IndexMeta
    found : sequence of IndexFacts
        The concrete indices behind the name; see `lifecycle.facts`.
    """
    whole = [_exists(TERMS), _exists(CODES)] if meta.stores_codes else [_exists(TERMS)]
    complete = {"bool": {"filter": [_OK, *whole]}}
    lacking = _all(*_has_text(meta, found), none={"bool": {"should": [complete, _NO_TEXT]}})
    return {"bool": {"should": [lacking, bookkeeping.is_exposed()]}}


def filters(meta: IndexMeta, found: Sequence[IndexFacts]) -> dict[str, dict[str, Any]]:
    """The same documents by what is wrong with them: a query for each field of `Gaps`, none twice."""
    text = _has_text(meta, found)
    lacking = {
        "untouched": _all(*text, none=bookkeeping.is_known()),
        "waiting": _all(*text, bookkeeping.is_known(), none=bookkeeping.is_in("ok", "no_text")),
        "lost": _all(*text, _OK, none=_exists(TERMS)),
        "without_codes": _all(*text, _OK, _exists(TERMS), none=_exists(CODES))
        if meta.stores_codes
        else {"match_none": {}},
    }
    others = {"bool": {"should": list(lacking.values())}}
    return {**lacking, "exposed": _all(bookkeeping.is_exposed(), none=others)}


def _has_text(meta: IndexMeta, found: Sequence[IndexFacts]) -> list[dict[str, Any]]:
    """Filter for documents with text; none where a mapping cannot tell, for then all have to be read."""
    clauses: list[dict[str, Any]] = []
    for each in found:
        for field in meta.fields:
            clause = _field_exists(field.name, each.properties)
            if clause is None:
                return []
            if clause not in clauses:
                clauses.append(clause)
    return [{"bool": {"should": clauses, "minimum_should_match": 1}}] if clauses else []


def _field_exists(name: str, properties: Json) -> dict[str, Any] | None:
    """``exists`` for a field, inside the nested documents where it lies; None where it would not find every value.

    >>> parts = {"parts": {"type": "nested", "properties": {"body": {"type": "text"}}}}
    >>> _field_exists("parts.body", parts)
    {'nested': {'path': 'parts', 'query': {'exists': {'field': 'parts.body'}}}}
    """
    found = list(path_to(name, properties))
    if not found or found[-1][0] != name or not _tells(found[-1][1]):
        return None
    query: dict[str, Any] = _exists(name)
    for path, spec in reversed(found):
        if spec.get("type") == "nested":
            query = {"nested": {"path": path, "query": query}}
    return query


def _tells(spec: Json) -> bool:
    # `exists` finds no text that is not indexed, and no keyword that was longer than ignore_above.
    kind = spec.get("type")
    return (kind == "text" and spec.get("index", True) is True) or (kind == "keyword" and "ignore_above" not in spec)


def _exists(name: str) -> dict[str, Any]:
    return {"exists": {"field": name}}


def _all(*clauses: Json, none: Json) -> dict[str, Any]:
    return {"bool": {"filter": list(clauses), "must_not": [none]}}
