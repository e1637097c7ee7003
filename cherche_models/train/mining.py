"""Hard negative mining by any search, teacher scores, and removal of likely false negatives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Protocol

import torch

from cherche_models.losses import late_scores, sparse_scores
from cherche_models.models.base import Model, Output
from cherche_models.tokenizer import Kind
from cherche_models.train.bm25 import BM25
from cherche_models.train.rows import Example
from cherche_models.train.teacher import Teacher

Search = Callable[[str, int], Sequence[str]]
"""Takes a query and k; returns at most k texts, best first."""
Scorer = Callable[[Sequence[tuple[str, str]]], Sequence[float]]
"""Takes (query, text) pairs; returns a score for each."""


class PairScorer(Protocol):
    """`models.CrossEncoder`, or that of sentence-transformers."""

    def predict(self, pairs: Any, /) -> Any:  # noqa: ANN401  # each library names its arrays differently
        """Scores of (query, text) pairs, in order."""


class BatchSearcher(Protocol):
    """The retrievers and pipelines of `cherche_models.retrieve`."""

    def search(self, queries: Any, k: int | None = None) -> Any:  # noqa: ANN401  # one query or several
        """Results of each query."""


def by_bm25(texts: Mapping[str, str]) -> Search:
    """Search texts by BM25.

    >>> by_bm25({"1": "ducks swim", "2": "geese fly", "3": "a cow"})("a swimming duck", 1)
    ['ducks swim']
    """
    index = BM25({key: (text,) for key, text in texts.items()})
    return lambda query, k: [texts[key] for key, _ in index.search(query, k)]


def by_retriever(retriever: BatchSearcher, texts: Mapping[str, str], key: str = "id") -> Search:
    """Search by a retriever of `cherche_models.retrieve`, for example one of the model in training.

    Parameters
    ----------
    retriever : BatchSearcher
        Holds the texts.
    texts : mapping of id → text
    key : str
        Field of the results that holds the id.
    """
    return lambda query, k: [texts[hit[key]] for hit in retriever.search([query], k=k)[0]]


def mine(
    examples: Iterable[Example], search: Search, *, depth: int = 30, keep: int = 8, skip: int = 0
) -> Iterator[Example]:
    """Append highly ranked texts that are not known to be relevant to the negatives that an example has.

    Parameters
    ----------
    examples : iterable of Example
        Read lazily.
    search : callable
    depth : int
        Ranks to consider.
    keep : int
        Maximum negatives of an example.
    skip : int
        Leave out the first ranks: they contain most of the unjudged relevant texts.
    """
    for example in examples:
        known = {example.positive, *example.answers}
        found = (text for text in search(example.query, depth)[skip:] if text not in known)
        negatives = tuple(dict.fromkeys([*example.negatives, *found]))[:keep]
        yield replace(example, negatives=negatives, scores=())


def score(examples: Iterable[Example], scorer: Scorer, batch: int = 64) -> Iterator[Example]:
    """Add a teacher's scores of the positive and the negatives to each example.

    Parameters
    ----------
    examples : iterable of Example
        Read lazily, `batch` at a time.
    scorer : callable
        `by_pairs`, `by_teacher` or `by_model`.
    batch : int
        Examples scored in one call.
    """
    rest = iter(examples)
    while chunk := list(islice(rest, batch)):
        pairs = [(e.query, text) for e in chunk for text in (e.positive, *e.negatives)]
        scores = iter([float(value) for value in scorer(pairs)])
        for example in chunk:
            yield replace(example, scores=tuple(islice(scores, 1 + len(example.negatives))))


def drop_false_negatives(examples: Iterable[Example], margin: float = 0.0) -> Iterator[Example]:
    """Drop negatives that the teacher scores above the positive's score minus a margin.

    Qu et al. 2021, "RocketQA", section 3.2, denoise hard negatives by a
    cross-encoder; the threshold relative to the positive is Moreira et al. 2024,
    "NV-Retriever", section 3.2.

    Parameters
    ----------
    examples : iterable of Example
        With scores; examples without scores are unchanged.
    margin : float
        On the teacher's scale.

    >>> (kept,) = drop_false_negatives([Example("q", "p", ("m", "n"), scores=(5.0, 4.8, 1.0))], margin=1.0)
    >>> kept.negatives, kept.scores
    (('n',), (5.0, 1.0))
    """
    for example in examples:
        pairs = zip(example.negatives, example.scores[1:], strict=False)
        kept = [(text, value) for text, value in pairs if value < example.scores[0] - margin]
        if example.scores:
            negatives = tuple(text for text, _ in kept)
            example = replace(example, negatives=negatives, scores=(example.scores[0], *(value for _, value in kept)))
        yield example


def by_pairs(model: PairScorer) -> Scorer:
    """Score by a cross-encoder."""
    return lambda pairs: [float(value) for value in model.predict(list(pairs))]


def by_teacher(teacher: Teacher) -> Scorer:
    """Score by a sentence encoder: cosines divided by its temperature."""

    def scores(pairs: Sequence[tuple[str, str]]) -> list[float]:
        queries = teacher.embed([query for query, _ in pairs], "query")
        documents = teacher.embed([text for _, text in pairs])
        return [float(value) for value in (queries * documents).sum(dim=1) / teacher.temperature]

    return scores


def by_model(model: Model) -> Scorer:
    """Score by a model of this library: MaxSim if it has token embeddings, else the dot product of term weights."""

    def scores(pairs: Sequence[tuple[str, str]]) -> list[float]:
        with torch.inference_mode():
            return [_score_pair(model, query, text) for query, text in pairs]

    return scores


def _score_pair(model: Model, query: str, text: str) -> float:
    queries, documents = _output(model, query, "query"), _output(model, text, "document")
    if queries.embeddings is not None:
        return float(late_scores(queries, documents))
    assert queries.weights is not None
    assert documents.weights is not None
    return float(sparse_scores(queries.weights, documents.weights))


def _output(model: Model, text: str, kind: Kind) -> Output:
    output: Output = model(*model.collate(model.tokenize([text], kind), kind), kind)
    return output
