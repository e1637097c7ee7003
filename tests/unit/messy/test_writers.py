"""What a document is after somebody's partial update."""

from __future__ import annotations

from tests.messy.writers import merged


def test_objects_are_merged_and_everything_else_is_replaced() -> None:
    source = {"a": {"b": 1, "c": {"d": [1, 2]}}, "e": [1], "f": None}
    fields = {"a": {"c": {"d": [3], "g": 4}}, "e": [2], "f": {"h": 1}}
    assert merged(source, fields) == {"a": {"b": 1, "c": {"d": [3], "g": 4}}, "e": [2], "f": {"h": 1}}
