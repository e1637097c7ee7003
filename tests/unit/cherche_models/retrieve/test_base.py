"""All retrievers: index, search, update, filter, save and load."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from cherche_models import rank, retrieve
from cherche_models.models import Joint, Model
from cherche_models.retrieve import BM25, Retriever, TfIdf
from tests.unit.cherche_models.retrieve.documents import DUCKS, NEURAL, QUERIES, exact, words

KINDS = [TfIdf, BM25]


@pytest.mark.parametrize("kind", KINDS)
def test_the_calls_of_neural_cherche(kind: type[BM25]) -> None:
    retriever = kind(key="id", on=["title", "text"])
    documents = retriever.encode_documents(documents=DUCKS)
    retriever = retriever.add(documents_embeddings=pickle.loads(pickle.dumps(documents)))
    queries = retriever.encode_queries(queries=["duck", "zzz", "duck"])
    found = retriever(queries_embeddings=pickle.loads(pickle.dumps(queries)), k=1, batch_size=2, tqdm_bar=False)
    assert [[hit["id"] for hit in hits] for hits in found] == [["a"], [], ["a"]]
    assert retriever({"only": queries["duck"]}, k=1) == found[:1]
    assert json.loads(json.dumps(found)) == found


def test_one_query_or_several() -> None:
    retriever = words()
    assert retriever.search(["duck", "cow"], k=2) == [retriever.search("duck", k=2), retriever.search("cow", k=2)]
    assert retriever.search([]) == []


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_index_matches_nothing(kind: type[BM25]) -> None:
    retriever = kind("id", "text")
    assert retriever.search("duck") == []
    assert retriever.add_documents([{"id": 1, "text": ""}, {"id": 2}]).search(["duck", ""]) == [[], []]


def test_update_and_delete() -> None:
    retriever = words()
    retriever.update(retriever.encode_documents([{"id": "a", "text": "a penguin"}]))
    assert [hit["id"] for hit in retriever.search("penguin duck")] == ["a"]
    assert retriever.delete(["a"]).search("penguin") == []
    assert retriever.ids == ["b", "c"]
    assert len(retriever) == 2
    assert "a" not in retriever
    with pytest.raises(KeyError, match="the index has no document 'a'"):
        retriever.delete(["b", "a"])
    with pytest.raises(KeyError, match="add it first"):
        retriever.update(retriever.encode_documents(DUCKS[:1]))
    assert retriever.ids == ["b", "c"]


def test_an_index_emptied_answers_nothing() -> None:
    assert words().delete(["a", "b", "c"]).search("duck") == []


def test_filters_by_ids_and_by_a_function() -> None:
    retriever = words()
    assert [hit["id"] for hit in retriever.search("the pond", filters=["c", "b", "elsewhere"])] == ["c", "b"]
    assert [hit["id"] for hit in retriever.search("the pond", k=1, filters=lambda key: key != "a")] == ["c"]
    assert retriever.search("the", filters=[]) == []


def test_k_is_respected_and_ties_keep_their_order() -> None:
    retriever = BM25("id", "text", analyzer="word").add_documents([{"id": i, "text": "same"} for i in range(9)])
    assert [hit["id"] for hit in retriever.search("same", k=4)] == [0, 1, 2, 3]
    assert len(retriever.search("same")) == 9
    with pytest.raises(ValueError, match="k 0 is below 1"):
        retriever.search("same", k=0)


@pytest.mark.parametrize("kind", KINDS)
def test_save_and_load(kind: type[BM25], tmp_path: Path) -> None:
    numbered = [{**d, "id": i} for i, d in enumerate(DUCKS)]
    retriever = kind("id", ["title", "text"], analyzer="word").add_documents(numbered)
    retriever.save(tmp_path / "deep" / "index")
    again = kind.load(tmp_path / "deep" / "index")
    assert again.search("ducks café") == retriever.search("ducks café") != []
    again.add_documents([{"id": 9, "text": "a walrus"}])
    assert [hit["id"] for hit in again.search("walrus")] == [9]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["index"]


@pytest.fixture(params=["Splade", "ColBERT", "SparseEmbed"])
def retriever(request: pytest.FixtureRequest, joint: Joint, sparse_embed: Model) -> Retriever[object]:
    model = sparse_embed if request.param == "SparseEmbed" else joint
    found: Retriever[object] = getattr(retrieve, request.param)(key="id", on="text", model=model)
    return found


def test_scores_are_those_of_the_model(retriever: Retriever[object]) -> None:
    found = retriever.add_documents(NEURAL).search("brain cell")
    expected = exact(retriever, "brain cell")
    assert {hit["id"]: hit["similarity"] for hit in found} == pytest.approx(expected, rel=1e-4, abs=1e-4)
    similarities = [hit["similarity"] for hit in found]
    assert similarities == sorted(similarities, reverse=True)


def test_the_calls_of_neural_cherche_with_a_model(retriever: Retriever[object]) -> None:
    documents = retriever.encode_documents(documents=NEURAL, batch_size=2, tqdm_bar=False)
    retriever = retriever.add(documents_embeddings=pickle.loads(pickle.dumps(documents)))
    queries = pickle.loads(pickle.dumps(retriever.encode_queries(queries=QUERIES, batch_size=2)))
    found = retriever(queries_embeddings=queries, k=2, batch_size=2, tqdm_bar=False)
    assert [len(hits) for hits in found] == [2, 2, 2]
    assert found[0] == found[2] != found[1]
    assert json.loads(json.dumps(found)) == found


def test_update_delete_and_filter_with_a_model(retriever: Retriever[object]) -> None:
    retriever.add_documents(NEURAL).search("brain")
    retriever.delete(["a"]).add_documents([{"id": "b", "text": "query document"}])
    found = retriever.search("document", filters=lambda key: key != "c")
    assert {hit["id"] for hit in found} <= {"b", "d"}
    assert retriever.search("document", filters=[]) == []
    alone = type(retriever)("id", "text", retriever.model).add_documents([{"id": "b", "text": "query document"}])
    assert retriever.search("document", filters=["b"]) == alone.search("document")


def test_an_empty_index_of_a_model_matches_nothing(retriever: Retriever[object]) -> None:
    assert retriever.search(["brain", ""]) == [[], []]


def test_save_and_load_with_a_model(retriever: Retriever[object], tmp_path: Path) -> None:
    retriever.add_documents(NEURAL).save(tmp_path / "index")
    again = type(retriever).load(tmp_path / "index", model=retriever.model)
    assert again.search(QUERIES, k=3) == retriever.search(QUERIES, k=3)


def test_a_model_without_the_head_is_refused(joint: Joint, splade: Model) -> None:
    with pytest.raises(ValueError, match="no token embeddings"):
        retrieve.ColBERT("id", "text", splade)
    with pytest.raises(ValueError, match="no term vectors"):
        rank.SparseEmbed("id", "text", joint)
