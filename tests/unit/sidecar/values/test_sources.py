"""A caller's JSON object becomes a document, or an error that names it."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from sidecar.errors import ChercheError, Code
from sidecar.values.documents import SourceDocument
from sidecar.values.sources import read_document, read_id


def test_id_and_routing_are_no_fields() -> None:
    found = read_document({"_id": 7, "_routing": "berlin", "id": "mine", "text": "Grüße"}, "document 0")
    assert found == SourceDocument("7", '{"id":"mine","text":"Grüße"}'.encode(), "berlin")
    assert read_document({"id": "a"}, "document 0") == SourceDocument("a", b'{"id":"a"}', "")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ({"text": "a"}, "document 3 has no _id and no id"),
        ({"_id": ""}, "document 3 has no _id and no id"),
        ({"_id": True}, "document 3 has the id True"),
        ({"_id": 1.5}, "document 3 has the id 1.5"),
        ({"_id": "a", "_routing": ["b"]}, "document 3 has the routing"),
        ({"_id": "a", "score": float("nan")}, "document 3 is not JSON"),
        ({"_id": "a", "day": date(2026, 1, 1)}, "document 3 is not JSON: .*date"),
        ({"_id": "a", "text": "\ud800"}, r"document 3 holds the lone surrogate '\\ud800'"),
        ({"_id": "\ud800"}, "document 3 holds the lone surrogate"),
    ],
)
def test_what_is_no_document_is_named(source: dict[str, Any], reason: str) -> None:
    with pytest.raises(ChercheError, match=reason) as refused:
        read_document(source, "document 3")
    assert refused.value.code is Code.INVALID_ARGUMENT
    assert refused.value.next_step


def test_an_id_may_be_a_number() -> None:
    assert read_id({"id": 0}, "document 0") == "0"
