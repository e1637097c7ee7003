"""Fields of documents by their paths, and the versions of guarded writes."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.values.documents import StoredDocument, Version, value_at, version_of

SOURCE = {
    "title": "x",
    "a.b": "a name with a dot",
    "author": {"name": {"first": "Ada"}},
    "parts": [{"body": "one"}, {"body": ["two", "three"]}, {}, "no object"],
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("title", "x"),
        ("a.b", "a name with a dot"),
        ("author.name.first", "Ada"),
        ("author.name.last", None),
        ("title.first", None),
        ("parts.body", ["one", "two", "three"]),
        ("parts.absent", []),
        ("absent", None),
    ],
)
def test_a_path_leads_through_objects_and_lists(name: str, value: Any) -> None:
    assert value_at(SOURCE, name) == value


def test_a_document_read_without_its_version_is_a_mistake_of_the_caller() -> None:
    assert version_of(StoredDocument("1", {}, version=Version(7, 2))) == Version(7, 2)
    with pytest.raises(ValueError, match="document '1' was read without its version"):
        version_of(StoredDocument("1", {}))
