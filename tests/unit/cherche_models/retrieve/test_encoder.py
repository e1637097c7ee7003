"""Documents are encoded by id, queries by text."""

from __future__ import annotations

import pytest

from cherche_models import rank
from cherche_models.models import Joint
from tests.unit.cherche_models.retrieve.documents import NEURAL, words


def test_repeated_queries_are_told_if_asked() -> None:
    with pytest.warns(UserWarning, match="1 queries are repeated"):
        words().encode_queries(["duck", "duck"], warn_duplicates=True)


def test_candidates_must_be_among_the_documents(joint: Joint) -> None:
    ranker = rank.ColBERT("id", "text", joint)
    with pytest.raises(KeyError, match="not among the documents"):
        ranker.encode_candidates_documents(NEURAL, [[{"id": "z"}]])
