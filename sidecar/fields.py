"""A document's fields, by name or by path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sidecar.types import Json


def value_at(source: Json, name: str) -> Any:  # noqa: ANN401  # any JSON value
    """A field by its name, or by a path through objects and lists of objects, as the engine's own mappings name it.

    >>> value_at({"parts": [{"body": "a"}, {"body": ["b", "c"]}, {}]}, "parts.body")
    ['a', 'b', 'c']
    """
    head, _, rest = name.partition(".")
    if name in source or not rest:
        return source.get(name)
    inner = source.get(head)
    if isinstance(inner, Mapping):
        return value_at(inner, rest)
    if not isinstance(inner, list):
        return None
    found = [value_at(part, rest) for part in inner if isinstance(part, Mapping)]
    return [each for value in found if value is not None for each in (value if isinstance(value, list) else [value])]
