"""TF-IDF scores as in scikit-learn; counts of words and of a custom vectorizer."""

from __future__ import annotations

import pytest
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from cherche_models.retrieve import BM25, TfIdf
from tests.unit.cherche_models.retrieve.documents import DUCKS, TEXTS, scores

KINDS = [TfIdf, BM25]


@pytest.mark.parametrize("query", ["duck", "the pond", "flying goose"])
def test_tfidf_is_the_one_of_scikit_learn(query: str) -> None:
    reference = TfidfVectorizer(analyzer="char", ngram_range=(3, 5), strip_accents="unicode")
    expected = (reference.fit_transform(TEXTS) @ reference.transform([query]).T).toarray()[:, 0]
    found = scores(TfIdf("id", ["title", "text"]).add_documents(DUCKS).search(query))
    assert found == pytest.approx({d["id"]: s for d, s in zip(DUCKS, expected, strict=True) if s > 0}, rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_scores_do_not_depend_on_when_a_document_came(kind: type[BM25]) -> None:
    at_once = kind("id", ["title", "text"]).add_documents(DUCKS)
    one_by_one = kind("id", ["title", "text"])
    for document in DUCKS:
        one_by_one.add_documents([document])
        one_by_one.search("pond")
    assert one_by_one.search("ducks in autumn") == at_once.search("ducks in autumn")


@pytest.mark.parametrize(("kind", "vectorizer"), [(BM25, CountVectorizer()), (TfIdf, TfidfVectorizer())])
def test_a_vectorizer_of_ones_own(kind: type[BM25], vectorizer: CountVectorizer) -> None:
    retriever = kind("id", ["title", "text"], vectorizer).add_documents(DUCKS)
    retriever.add_documents([{"id": "d", "text": "duck walrus"}])
    assert {hit["id"] for hit in retriever.search("duck")} == {"a", "d"}
    assert retriever.search("walrus") == []
