"""Measures and collections in the data structures of neural-cherche, which identifies queries by their text."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from cherche_models.evaluate import beir, measures
from cherche_models.texts import field_text
from cherche_models.utils.documents import Document, Key, Result, fields, texts_by_id

Qrels = Mapping[str, Mapping[str, int]]

METRICS = ("ndcg@10", "hits@1", "hits@2", "hits@3", "hits@4", "hits@5", "hits@10")


def evaluate(
    scores: Sequence[Sequence[Result]],
    qrels: Qrels,
    queries: Sequence[str],
    metrics: Sequence[str] = METRICS,
    key: str = "id",
) -> dict[str, float]:
    """Mean of each measure over all judged queries; a query without results counts 0.

    Parameters
    ----------
    scores : sequence of lists of dict
        Results of a retriever, ranker or pipeline for each query.
    qrels : mapping of query text → {document id → relevance}
    queries : sequence of str
        In the order of `scores`. For a repeated query the first list is used.
    metrics : sequence of str
        ``ndcg``, ``map``, ``mrr``, ``ndcg@K``, ``recall@K``, ``hits@K``, ``precision@K``.
        ``hits@K`` is 1 if a relevant document is among the first K. In ranx, which
        neural-cherche uses, it is the number of relevant documents, which is larger.
    key : str
        Field of a result that holds the id.

    Raises
    ------
    ValueError
        If the numbers of lists and queries differ, a measure is unknown, or no
        query has a relevant document.

    >>> found = [[{"id": "a", "similarity": 2.0}, {"id": "b", "similarity": 1.0}]]
    >>> evaluate(found, {"ducks": {"b": 1}}, ["ducks"], ["mrr", "hits@1"])
    {'mrr': 0.5, 'hits@1': 0.0}
    """
    if len(scores) != len(queries):
        raise ValueError(f"{len(scores)} lists of results for {len(queries)} queries: give one for each")
    numbers = {text: str(number) for number, text in enumerate(qrels)}
    rankings: dict[str, list[str]] = {}
    for text, results in zip(queries, scores, strict=True):
        if text in numbers:
            rankings.setdefault(numbers[text], [str(result[key]) for result in results])
    judgements = {numbers[text]: {str(k): relevance for k, relevance in row.items()} for text, row in qrels.items()}
    return measures.evaluate(rankings, judgements, metrics or METRICS)


def load_beir(
    dataset_name: str, split: str = "test", folder: str | Path = "evaluation_datasets"
) -> tuple[list[dict[str, str]], list[str], dict[str, dict[str, int]]]:
    """Documents, queries and judgements of a BEIR collection.

    Parameters
    ----------
    dataset_name : str
        Such as ``scifact``.
    split : str
    folder : str or Path
        Folder of collections; a missing collection is downloaded into it.

    Returns
    -------
    documents : list of dict
        Fields ``id``, ``title`` and ``text``.
    queries : list of str
        Distinct texts of the judged queries.
    qrels : dict of query text → {document id → relevance}
    """
    collection = beir.read(beir.download(dataset_name, Path(folder)), split)
    documents = [
        {"id": key, **{field: field_text(document, field, place) for field in ("title", "text")}}
        for place, (key, document) in enumerate(collection.documents.items())
    ]
    qrels: dict[str, dict[str, int]] = {}
    for key, judged in collection.qrels.items():
        qrels.setdefault(collection.queries[key], {}).update(judged)
    return documents, list(qrels), qrels


def get_beir_triples(
    key: str,
    on: str | Sequence[str],
    documents: Iterable[Document],
    queries: Sequence[str],
    qrels: Qrels,
    seed: int | None = None,
) -> list[tuple[str, str, str]]:
    """Triples of a query, one of its relevant documents, and a random document that is not relevant.

    Judged documents that are missing from the collection are left out.

    Parameters
    ----------
    key : str
    on : str or sequence of str
    documents : iterable of dict
    queries : sequence of str
    qrels : mapping of query text → {document id → relevance}
    seed : int or None
        Of the negatives; None to use Python's global random state.

    Raises
    ------
    KeyError
        If a query has no judgements.
    ValueError
        If all documents are relevant to a query.
    """
    texts = texts_by_id(documents, key, fields(on))
    ids = list(texts)
    draw = random.Random(random.random() if seed is None else seed)
    triples: list[tuple[str, str, str]] = []
    for query in queries:
        relevant = {document for document, relevance in qrels[query].items() if relevance > 0}
        triples += [
            (query, texts[positive], texts[_negative(ids, relevant, draw, query)])
            for positive in sorted(relevant & texts.keys())
        ]
    return triples


def _negative(ids: Sequence[Key], relevant: set[str], draw: random.Random, query: str) -> Key:
    """An id that is not relevant: rejection sampling first, which almost always succeeds and reads no list."""
    for _ in range(100):
        if (found := draw.choice(ids)) not in relevant:
            return found
    others = [key for key in ids if key not in relevant]
    if not others:
        raise ValueError(f"all documents are relevant to the query {query!r}: there is no negative to draw")
    return draw.choice(others)
