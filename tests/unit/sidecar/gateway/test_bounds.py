"""Counting what a JSON text would become."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.gateway import bounds
from sidecar.gateway.bounds import count_values

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=30,
)


def objects(value: Any) -> int:
    """Values within a list or an object, itself left out."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return sum(1 + objects(one) for one in inner)


@given(values, st.booleans())
def test_no_fewer_are_counted_than_there_are(value: Any, ascii_only: bool) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert count_values(body, 1 << 20) >= objects(value)


def test_commas_and_brackets_of_a_text_are_none_of_them() -> None:
    text = 'a, [b], {c}, "d", \\, e'
    assert count_values(json.dumps([text]).encode(), 100) == 2


@pytest.mark.parametrize(
    "body",
    [
        b"1," * (4 << 20),
        b"[]," * (4 << 20),
        b'"",' * (2 << 20),
        b'""' * (4 << 20),
        b"[" * (8 << 20),
        b'{"a":' * (1 << 20),
    ],
    ids=["numbers", "lists", "strings", "adjacent strings", "depth", "objects"],
)
def test_counting_ends_early(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python runs once for each string at most; what lies between two is counted by one call."""
    matched: list[int] = []
    string = bounds._STRING

    class Recorded:
        def match(self, text: bytes, place: int) -> re.Match[bytes] | None:
            matched.append(place)
            return string.match(text, place)

    monkeypatch.setattr(bounds, "_STRING", Recorded())
    assert count_values(body, 1000) > 1000
    assert len(matched) <= 1001


@pytest.mark.parametrize("body", [b"", b'"', b'"\\', b'"\\"', b"\\", b'"a" "b', b"\xff\xfe"])
def test_what_is_no_json_is_counted_too(body: bytes) -> None:
    assert count_values(body, 100) <= len(body)


def test_a_long_text_of_escapes_is_one_string() -> None:
    assert count_values(b'["' + b"\\n" * (2 << 20) + b'"]', 100) == 2
