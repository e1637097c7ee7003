"""Ids and texts of documents."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cherche_models.errors import ItemError
from cherche_models.retrieve import BM25


@pytest.mark.parametrize(
    ("documents", "error", "message"),
    [
        ([{"text": "x"}], ValueError, "document 0 has no 'id'"),
        ([{"id": 1}, {"id": 1}], ValueError, "document 1: the id 1 is repeated"),
        ([{"id": 1.5}], TypeError, "neither a string nor an integer"),
        ([{"id": True}], TypeError, "neither a string nor an integer"),
        ([{"id": 1}, "x"], ValueError, "text 1 belongs to no document but to the type str: give dicts"),
        (
            [{"id": 1}, {"id": 2, "text": math.nan}],
            ItemError,
            r"text 1 cannot be made: its field 'text' has the type float \(nan\)",
        ),
        (
            [{"id": 1, "text": ["a", "b"]}],
            ItemError,
            "its field 'text' has the type list .* give a string, or leave the field out",
        ),
        ([{"id": 1, "text": "a\ud800"}], ItemError, "its field 'text' holds the lone surrogate"),
    ],
)
def test_a_bad_document_is_named(documents: list[dict[str, object]], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        BM25("id", "text").encode_documents(documents)


def test_ids_of_numpy_are_integers() -> None:
    found = BM25("id", "text").encode_documents([{"id": np.int64(7), "text": "duck"}])
    assert [type(key) for key in found] == [int]


@pytest.mark.parametrize("queries", [None, {"duck": 1}, 7])
def test_queries_are_a_list_of_texts(queries: object) -> None:
    with pytest.raises(TypeError, match="give a list of texts"):
        BM25("id", "text").add_documents([{"id": 1, "text": "duck"}]).encode_queries(queries)


def test_a_query_that_is_no_text_is_named() -> None:
    with pytest.raises(ItemError, match=r"text 2 has the type NoneType \(None\)"):
        BM25("id", "text").add_documents([{"id": 1, "text": "duck"}]).search(["duck", "duck", None])
