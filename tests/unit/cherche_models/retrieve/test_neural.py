from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch

from cherche_models import rank, retrieve, scores
from cherche_models.models import InferenceFree, Joint, Model, Splade
from cherche_models.retrieve import BM25, Retriever
from cherche_models.retrieve import colbert as colbert_module
from tests import checkpoints

DOCUMENTS = [
    {"id": "a", "text": "neural search of the brain"},
    {"id": "b", "text": "protein and heart cell"},
    {"id": "c", "text": "sparse token weight in the index"},
    {"id": "d", "text": ""},
]
QUERIES = ["brain cell", "sparse index", "brain cell"]


@pytest.fixture(params=["Splade", "ColBERT", "SparseEmbed"])
def retriever(request: pytest.FixtureRequest, joint: Joint, sparse_embed: Model) -> Retriever[object]:
    model = sparse_embed if request.param == "SparseEmbed" else joint
    found: Retriever[object] = getattr(retrieve, request.param)(key="id", on="text", model=model)
    return found


def exact(retriever: Retriever[object], query: str) -> dict[str, float]:
    """Scores by the plainest way there is."""
    model = retriever.model
    (asked,) = model.encode([query], "query")
    result = {}
    for document, found in zip(DOCUMENTS, model.encode([d["text"] for d in DOCUMENTS], "document"), strict=True):
        if isinstance(retriever, retrieve.Splade):
            score = asked.weights.dot(found.weights)
        elif isinstance(retriever, retrieve.ColBERT):
            score = float((asked.embeddings.vectors @ found.embeddings.vectors.T).max(axis=1).sum())
        else:
            vectors = dict(zip(found.weights.ids.tolist(), found.embeddings.vectors, strict=True))
            pairs = zip(asked.weights.ids.tolist(), asked.embeddings.vectors, strict=True)
            score = float(sum(vector @ vectors[term] for term, vector in pairs if term in vectors))
        result[document["id"]] = score
    return result


def test_scores_are_those_of_the_model(retriever: Retriever[object]) -> None:
    found = retriever.add_documents(DOCUMENTS).search("brain cell")
    expected = exact(retriever, "brain cell")
    assert {hit["id"]: hit["similarity"] for hit in found} == pytest.approx(expected, rel=1e-4, abs=1e-4)
    similarities = [hit["similarity"] for hit in found]
    assert similarities == sorted(similarities, reverse=True)


def test_queries_of_an_inference_free_model_are_looked_up(splade: Splade, monkeypatch: pytest.MonkeyPatch) -> None:
    table = torch.linspace(0.1, 2.0, len(splade.vocabulary))
    model = InferenceFree(splade.backbone, splade.tokenizer, table).eval()
    retriever = retrieve.Splade("id", "text", model).add_documents(DOCUMENTS)
    query = " ".join(checkpoints.WORDS)
    expected = {key: score for key, score in exact(retriever, query).items() if score > 0}
    assert expected
    monkeypatch.setattr(model.backbone, "forward", lambda *_: pytest.fail("a query went through the encoder"))
    found = retriever.search(query)
    assert {hit["id"]: hit["similarity"] for hit in found} == pytest.approx(expected, rel=1e-4)


def test_the_calls_of_neural_cherche(retriever: Retriever[object]) -> None:
    documents = retriever.encode_documents(documents=DOCUMENTS, batch_size=2, tqdm_bar=False)
    retriever = retriever.add(documents_embeddings=pickle.loads(pickle.dumps(documents)))
    queries = pickle.loads(pickle.dumps(retriever.encode_queries(queries=QUERIES, batch_size=2)))
    found = retriever(queries_embeddings=queries, k=2, batch_size=2, tqdm_bar=False)
    assert [len(hits) for hits in found] == [2, 2, 2]
    assert found[0] == found[2] != found[1]
    assert json.loads(json.dumps(found)) == found


def test_change_and_filter(retriever: Retriever[object]) -> None:
    retriever.add_documents(DOCUMENTS).search("brain")
    retriever.delete(["a"]).add_documents([{"id": "b", "text": "query document"}])
    found = retriever.search("document", filters=lambda key: key != "c")
    assert {hit["id"] for hit in found} <= {"b", "d"}
    assert retriever.search("document", filters=[]) == []
    alone = type(retriever)("id", "text", retriever.model).add_documents([{"id": "b", "text": "query document"}])
    assert retriever.search("document", filters=["b"]) == alone.search("document")


def test_an_empty_index_answers_nothing(retriever: Retriever[object]) -> None:
    assert retriever.search(["brain", ""]) == [[], []]


def test_save_and_load(retriever: Retriever[object], tmp_path: Path) -> None:
    retriever.add_documents(DOCUMENTS).save(tmp_path / "index")
    again = type(retriever).load(tmp_path / "index", model=retriever.model)
    assert again.search(QUERIES, k=3) == retriever.search(QUERIES, k=3)


def test_an_index_belongs_to_its_model(joint: Joint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    retrieve.ColBERT("id", "text", joint).add_documents(DOCUMENTS).save(tmp_path / "index")
    monkeypatch.setattr(joint, "digest", "another")
    with pytest.raises(ValueError, match="encode the documents again"):
        retrieve.ColBERT.load(tmp_path / "index", model=joint)


def test_a_model_without_the_head_is_refused(joint: Joint, splade: Model) -> None:
    with pytest.raises(ValueError, match="no token embeddings"):
        retrieve.ColBERT("id", "text", splade)
    with pytest.raises(ValueError, match="no term vectors"):
        rank.SparseEmbed("id", "text", joint)


def test_k_rank_bounds_what_is_ordered(sparse_embed: Model) -> None:
    retriever = retrieve.SparseEmbed("id", "text", sparse_embed).add_documents(DOCUMENTS)
    queries = retriever.encode_queries("brain cell")
    (everything,) = retriever(queries)
    (one,) = retriever(queries, k=1, k_rank=3)
    assert len(one) == 1
    (two,) = retriever(queries, k_rank=2)
    assert len(two) == 2
    assert all(hit in everything for hit in two)
    with pytest.raises(ValueError, match="k_rank 0"):
        retriever(queries, k_rank=0)


def test_documents_may_lie_in_several_blocks(joint: Joint, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = retrieve.ColBERT("id", "text", joint).add_documents(DOCUMENTS)
    expected = whole.search(QUERIES)
    monkeypatch.setattr(colbert_module, "BLOCK", 9)
    parts = retrieve.ColBERT("id", "text", joint).add_documents(DOCUMENTS)
    found = parts.search(QUERIES)
    assert len(parts._blocks) > 1
    for hits, wanted in zip(found, expected, strict=True):
        assert [hit["id"] for hit in hits] == [hit["id"] for hit in wanted]
        assert [h["similarity"] for h in hits] == pytest.approx([h["similarity"] for h in wanted], rel=1e-5)


@pytest.mark.parametrize("kind", ["ColBERT", "SparseEmbed"])
def test_a_ranker_orders_as_the_retriever_does(kind: str, joint: Joint, sparse_embed: Model) -> None:
    model = joint if kind == "ColBERT" else sparse_embed
    ranker = getattr(rank, kind)(key="id", on="text", model=model)
    candidates = [[{"id": "c", "kept": 1}, {"id": "a"}, {"id": "b"}], [], [{"id": "b"}, {"id": "a"}]]
    embeddings = ranker.encode_candidates_documents(documents=DOCUMENTS, candidates=candidates, tqdm_bar=False)
    assert set(embeddings) == {"a", "b", "c"}
    queries = ranker.encode_queries(QUERIES, tqdm_bar=False)
    ranked = ranker(documents=candidates, queries_embeddings=queries, documents_embeddings=embeddings, tqdm_bar=False)
    assert ranked[1] == []
    assert json.loads(json.dumps(ranked)) == ranked
    everything = getattr(retrieve, kind)("id", "text", model).add_documents(DOCUMENTS).search("brain cell")
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
    with pytest.raises(KeyError, match="not among the documents"):
        ranker.encode_candidates_documents(DOCUMENTS, [[{"id": "z"}]])


def test_a_pipeline_of_everything(joint: Joint) -> None:
    words = BM25("id", "text", analyzer="word")
    splade = retrieve.Splade("id", "text", joint)
    search = (words | splade) + rank.ColBERT("id", "text", joint) + DOCUMENTS
    search.add_documents(DOCUMENTS)
    (hit,) = search.search("heart cell", k=1)
    assert hit["text"] == next(d["text"] for d in DOCUMENTS if d["id"] == hit["id"])
    first, second = words.search("heart cell"), splade.search("heart cell")
    ids = {hit["id"] for hit in first} | {hit["id"] for hit in second}
    assert {hit["id"] for hit in search.search("heart cell")} == ids
    ((late,),) = rank.ColBERT("id", "text", joint).add_documents(DOCUMENTS).rank(["heart cell"], [first], k=1)
    vectors = [scores.pack([e.embeddings]) for e in joint.encode(["protein and heart cell"], "document")]
    expected = scores.maxsim(joint.encode(["heart cell"], "query")[0].embeddings, vectors[0])[0]
    assert late["similarity"] == pytest.approx(float(expected), rel=1e-4)
