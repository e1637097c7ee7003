"""Every stage of a search measured in memory, for a model of any heads, on judged queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cherche_models.evaluate import per_query
from cherche_models.evaluate.stages import Postings, Stages, matrix
from cherche_models.models.base import Model
from cherche_models.train.bm25 import BM25
from cherche_models.types import TermWeights, TokenEmbeddings

NDCG = "ndcg@10"
_DEPTH = 1000
Rankings = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class JudgedSet:
    """Documents by id, as the text of each field, and judged queries."""

    documents: Mapping[str, Sequence[str]]
    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]

    def texts(self) -> list[str]:
        """What a model reads of each document."""
        return [" ".join(text for text in fields if text) for fields in self.documents.values()]


@dataclass(frozen=True, slots=True)
class Mixing:
    """How stages are combined; None for what the model was tuned with.

    Attributes
    ----------
    window : int
        Hits reranked.
    sparse_boost, rerank_weight : float or None
    """

    window: int = 100
    sparse_boost: float | None = None
    rerank_weight: float | None = None


def rankings(model: Model, judged: JudgedSet, mixing: Mixing) -> dict[str, Rankings]:
    """Rankings of each stage that the model's heads allow, in the order of a search.

    Returns
    -------
    dict of stage → query id → document ids
        ``bm25``; with term weights ``sparse`` and ``hybrid``; with token embeddings ``hybrid+rerank``, or
        ``bm25+rerank`` where there are no term weights.
    """
    ids, index = list(judged.documents), BM25(judged.documents)
    documents = model.encode(judged.texts(), "document")
    queries = model.encode(list(judged.queries.values()), "query")
    lexical = matrix([dict(index.search(text, _DEPTH)) for text in judged.queries.values()], ids)
    sparse = np.zeros_like(lexical)
    if model.sparse:
        postings = Postings([encoding.weights or TermWeights.empty() for encoding in documents])
        sparse = np.stack([postings.scores(encoding.weights or TermWeights.empty()) for encoding in queries])
    nothing = TokenEmbeddings(np.empty((0, model.dim), np.float32))
    stages = Stages(
        ids,
        list(judged.queries),
        lexical,
        sparse,
        [encoding.embeddings or nothing for encoding in documents],
        [encoding.embeddings or nothing for encoding in queries],
    )
    found, first, name = {"bm25": stages.rank(lexical)}, lexical, "bm25"
    if model.sparse:
        first, name = (
            stages.hybrid(model.sparse_boost if mixing.sparse_boost is None else mixing.sparse_boost),
            "hybrid",
        )
        found |= {"sparse": stages.rank(sparse), name: stages.rank(first)}
    if model.late_interaction:
        weight = model.rerank_weight if mixing.rerank_weight is None else mixing.rerank_weight
        found[f"{name}+rerank"] = stages.rerank(first, [weight], mixing.window)[weight]
    return found


def ndcg(found: Mapping[str, Rankings], judged: JudgedSet) -> dict[str, dict[str, float]]:
    """nDCG@10 of each query by stage."""
    return {stage: per_query(ranking, judged.qrels, [NDCG])[NDCG] for stage, ranking in found.items()}


def means(values: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The mean of each stage.

    >>> means({"bm25": {"1": 0.0, "2": 0.5}})
    {'bm25': 0.25}
    """
    return {stage: sum(column.values()) / len(column) for stage, column in values.items()}
