"""Ids and texts of documents."""

from __future__ import annotations

import pytest

from cherche_models.retrieve import BM25


@pytest.mark.parametrize(
    ("documents", "error", "message"),
    [
        ([{"text": "x"}], ValueError, "document 0 has no 'id'"),
        ([{"id": 1}, {"id": 1}], ValueError, "document 1: the id 1 is repeated"),
        ([{"id": 1.5}], TypeError, "neither a string nor an integer"),
    ],
)
def test_a_bad_document_is_named(documents: list[dict[str, object]], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        BM25("id", "text").encode_documents(documents)
