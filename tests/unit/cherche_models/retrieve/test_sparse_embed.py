"""Candidates by term weights, ranked by term vectors."""

from __future__ import annotations

import pytest

from cherche_models import retrieve
from cherche_models.models import Model
from tests.unit.cherche_models.retrieve.documents import NEURAL


def test_k_rank_bounds_what_is_ordered(sparse_embed: Model) -> None:
    retriever = retrieve.SparseEmbed("id", "text", sparse_embed).add_documents(NEURAL)
    queries = retriever.encode_queries("brain cell")
    (everything,) = retriever(queries)
    (one,) = retriever(queries, k=1, k_rank=3)
    assert len(one) == 1
    (two,) = retriever(queries, k_rank=2)
    assert len(two) == 2
    assert all(hit in everything for hit in two)
    with pytest.raises(ValueError, match="k_rank 0"):
        retriever(queries, k_rank=0)
