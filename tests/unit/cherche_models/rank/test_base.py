"""Rankers order candidates as the retriever of the same model does."""

from __future__ import annotations

import json

import pytest

from cherche_models import rank, retrieve
from cherche_models.models import Joint, Model
from tests.unit.cherche_models.retrieve.documents import NEURAL, QUERIES


@pytest.mark.parametrize("kind", ["ColBERT", "SparseEmbed"])
def test_a_ranker_orders_as_the_retriever_does(kind: str, joint: Joint, sparse_embed: Model) -> None:
    model = joint if kind == "ColBERT" else sparse_embed
    ranker = getattr(rank, kind)(key="id", on="text", model=model)
    candidates = [[{"id": "c", "kept": 1}, {"id": "a"}, {"id": "b"}], [], [{"id": "b"}, {"id": "a"}]]
    embeddings = ranker.encode_candidates_documents(documents=NEURAL, candidates=candidates, tqdm_bar=False)
    assert set(embeddings) == {"a", "b", "c"}
    queries = ranker.encode_queries(QUERIES, tqdm_bar=False)
    ranked = ranker(documents=candidates, queries_embeddings=queries, documents_embeddings=embeddings, tqdm_bar=False)
    assert ranked[1] == []
    assert json.loads(json.dumps(ranked)) == ranked
    everything = getattr(retrieve, kind)("id", "text", model).add_documents(NEURAL).search("brain cell")
    expected = {hit["id"]: hit["similarity"] for hit in everything if hit["id"] != "d"}
    assert {hit["id"]: hit["similarity"] for hit in ranked[0]} == pytest.approx(expected, rel=1e-5)
    assert [hit["id"] for hit in ranked[0]] == [hit["id"] for hit in everything if hit["id"] != "d"]
    assert [hit["kept"] for hit in ranked[0] if "kept" in hit] == [1]
    assert [len(hits) for hits in ranker(candidates, queries, embeddings, k=1, tqdm_bar=False)] == [1, 0, 1]


def test_a_ranker_names_what_is_missing(joint: Joint) -> None:
    ranker = rank.ColBERT("id", "text", joint)
    queries = ranker.encode_queries(["brain"])
    with pytest.raises(ValueError, match="2 lists of candidates for 1 queries"):
        ranker([[], []], queries, {})
    with pytest.raises(KeyError, match="the candidate 'z' has no embedding"):
        ranker([[{"id": "z"}]], queries, {})
