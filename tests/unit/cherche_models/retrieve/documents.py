"""Documents of the tests of retrievers."""

from __future__ import annotations

from cherche_models import retrieve
from cherche_models.retrieve import BM25, Retriever

DUCKS = [
    {"id": "a", "title": "Ducks", "text": "the duck swims the pond with a duck"},
    {"id": "b", "title": "", "text": "the cow grazes"},
    {"id": "c", "title": "Geese", "text": "geese and ducks fly over the café and the pond in autumn"},
]

TEXTS = [f"{d['title']} {d['text']}".strip() for d in DUCKS]

NEURAL = [
    {"id": "a", "text": "neural search of the brain"},
    {"id": "b", "text": "protein and heart cell"},
    {"id": "c", "text": "sparse token weight in the index"},
    {"id": "d", "text": ""},
]

QUERIES = ["brain cell", "sparse index", "brain cell"]


def words(**settings: float) -> BM25:
    return BM25("id", ["title", "text"], analyzer="word", **settings).add_documents(DUCKS)


def scores(found: list[dict[str, object]]) -> dict[object, object]:
    return {hit["id"]: hit["similarity"] for hit in found}


def exact(retriever: Retriever[object], query: str) -> dict[str, float]:
    """Scores by the plainest way there is."""
    model = retriever.model
    (asked,) = model.encode([query], "query")
    result = {}
    for document, found in zip(NEURAL, model.encode([d["text"] for d in NEURAL], "document"), strict=True):
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
