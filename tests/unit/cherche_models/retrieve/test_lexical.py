from __future__ import annotations

import json
import pickle
from pathlib import Path

import bm25s
import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from cherche_models.retrieve import BM25, TfIdf

DOCUMENTS = [
    {"id": "a", "title": "Ducks", "text": "the duck swims the pond with a duck"},
    {"id": "b", "title": "", "text": "the cow grazes"},
    {"id": "c", "title": "Geese", "text": "geese and ducks fly over the café and the pond in autumn"},
]
TEXTS = [f"{d['title']} {d['text']}".strip() for d in DOCUMENTS]
KINDS = [TfIdf, BM25]


def words(**settings: float) -> BM25:
    return BM25("id", ["title", "text"], analyzer="word", **settings).add_documents(DOCUMENTS)


def scores(found: list[dict[str, object]]) -> dict[object, object]:
    return {hit["id"]: hit["similarity"] for hit in found}


@pytest.mark.parametrize("query", ["duck", "the pond", "cow geese the", "pond pond"])
def test_bm25_is_the_one_of_bm25s(query: str) -> None:
    reference = bm25s.BM25(k1=1.5, b=0.75, method="lucene")
    cut = words()._grams._terms
    reference.index([list(cut(text)) for text in TEXTS], show_progress=False)
    expected = reference.get_scores(query.split())
    found = scores(words().search(query))
    assert found == pytest.approx({d["id"]: s for d, s in zip(DOCUMENTS, expected, strict=True) if s > 0}, rel=1e-5)


@pytest.mark.parametrize("query", ["duck", "the pond", "flying goose"])
def test_tfidf_is_the_one_of_scikit_learn(query: str) -> None:
    reference = TfidfVectorizer(analyzer="char", ngram_range=(3, 5), strip_accents="unicode")
    expected = (reference.fit_transform(TEXTS) @ reference.transform([query]).T).toarray()[:, 0]
    found = scores(TfIdf("id", ["title", "text"]).add_documents(DOCUMENTS).search(query))
    assert found == pytest.approx({d["id"]: s for d, s in zip(DOCUMENTS, expected, strict=True) if s > 0}, rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_scores_do_not_depend_on_when_a_document_came(kind: type[BM25]) -> None:
    at_once = kind("id", ["title", "text"]).add_documents(DOCUMENTS)
    one_by_one = kind("id", ["title", "text"])
    for document in DOCUMENTS:
        one_by_one.add_documents([document])
        one_by_one.search("pond")
    assert one_by_one.search("ducks in autumn") == at_once.search("ducks in autumn")


@pytest.mark.parametrize("kind", KINDS)
def test_the_calls_of_neural_cherche(kind: type[BM25]) -> None:
    retriever = kind(key="id", on=["title", "text"])
    documents = retriever.encode_documents(documents=DOCUMENTS)
    retriever = retriever.add(documents_embeddings=pickle.loads(pickle.dumps(documents)))
    queries = retriever.encode_queries(queries=["duck", "zzz", "duck"])
    found = retriever(queries_embeddings=pickle.loads(pickle.dumps(queries)), k=1, batch_size=2, tqdm_bar=False)
    assert [[hit["id"] for hit in hits] for hits in found] == [["a"], [], ["a"]]
    assert retriever({"only": queries["duck"]}, k=1) == found[:1]
    assert json.loads(json.dumps(found)) == found


def test_repeated_queries_are_told_if_asked() -> None:
    with pytest.warns(UserWarning, match="1 queries are repeated"):
        words().encode_queries(["duck", "duck"], warn_duplicates=True)


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
        retriever.update(retriever.encode_documents(DOCUMENTS[:1]))
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
    numbered = [{**d, "id": i} for i, d in enumerate(DOCUMENTS)]
    retriever = kind("id", ["title", "text"], analyzer="word").add_documents(numbered)
    retriever.save(tmp_path / "deep" / "index")
    again = kind.load(tmp_path / "deep" / "index")
    assert again.search("ducks café") == retriever.search("ducks café") != []
    again.add_documents([{"id": 9, "text": "a walrus"}])
    assert [hit["id"] for hit in again.search("walrus")] == [9]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["index"]


def test_bm25_keeps_its_constants(tmp_path: Path) -> None:
    retriever = words(b=0.1, k1=0.9, epsilon=0.5)
    retriever.save(tmp_path / "index")
    assert BM25.load(tmp_path / "index").search("duck") == retriever.search("duck") != words().search("duck")


def test_what_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    words().save(tmp_path / "index")
    with pytest.raises(ValueError, match="kind 'bm25', not 'tfidf'"):
        TfIdf.load(tmp_path / "index")
    (tmp_path / "other").write_text("no index")
    with pytest.raises(ValueError, match="is not an index"):
        BM25.load(tmp_path / "other")
    with pytest.raises(ValueError, match="cannot be saved without pickle"):
        BM25("id", "text", CountVectorizer()).save(tmp_path / "own")


@pytest.mark.parametrize(("kind", "vectorizer"), [(BM25, CountVectorizer()), (TfIdf, TfidfVectorizer())])
def test_a_vectorizer_of_ones_own(kind: type[BM25], vectorizer: CountVectorizer) -> None:
    retriever = kind("id", ["title", "text"], vectorizer).add_documents(DOCUMENTS)
    retriever.add_documents([{"id": "d", "text": "duck walrus"}])
    assert {hit["id"] for hit in retriever.search("duck")} == {"a", "d"}
    assert retriever.search("walrus") == []


def test_an_analyzer_of_ones_own() -> None:
    stems = BM25("id", "text", analyzer=lambda text: [word.rstrip("s") for word in text.lower().split()])
    found = stems.add_documents([{"id": 1, "text": "Ducks"}]).search("duck")
    assert [hit["id"] for hit in found] == [1]


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


@pytest.mark.parametrize("settings", [{"b": 1.5}, {"k1": -1}, {"epsilon": -1}])
def test_bm25_refuses_constants_that_make_no_sense(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be in"):
        words(**settings)


def test_weights_are_positive_for_a_term_that_every_document_has() -> None:
    assert all(hit["similarity"] > 0 for hit in words().search("the"))
    assert np.isfinite([hit["similarity"] for hit in words().search("the")]).all()
