"""Tune the weights of the sparse score and of MaxSim on held-out training queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cherche_models.evaluate import Collection, evaluate
from cherche_models.evaluate.stages import Postings, Rows, Stages, matrix
from cherche_models.models.base import Model
from cherche_models.train.bm25 import BM25
from cherche_models.types import Encoding, TermWeights, TokenEmbeddings

BOOSTS = (0.1, 0.15, 0.25, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0)
TOLERANCE = 0.0025
WEIGHTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


@dataclass(frozen=True, slots=True)
class TunedWeights:
    """The chosen weights and their nDCG@10.

    Attributes
    ----------
    sparse_boost, rerank_weight : float
    hybrid, reranked : float
        Mean nDCG@10 on the tuning queries.
    """

    sparse_boost: float
    rerank_weight: float
    hybrid: float
    reranked: float


def stages(model: Model, collection: Collection, queries: Sequence[str], index: BM25, depth: int = 1000) -> Stages:
    """Encode a collection and the given queries, and compute the scores of every stage.

    Parameters
    ----------
    model : Model
        With both heads.
    collection : Collection
    queries : sequence of str
        Ids.
    index : BM25
        Over the collection's documents.
    depth : int
        BM25 scores below this rank are set to 0.

    Raises
    ------
    ValueError
        If the model lacks a head.
    """
    ids = list(collection.documents)
    texts = [collection.queries[query] for query in queries]
    documents = model.encode(list(collection.texts().values()), "document")
    encoded_queries = model.encode(texts, "query")
    postings = Postings([_weights(encoding) for encoding in documents])
    return Stages(
        ids,
        queries,
        matrix([dict(index.search(text, depth)) for text in texts], ids),
        np.stack([postings.scores(_weights(encoding)) for encoding in encoded_queries]),
        [_embeddings(encoding) for encoding in documents],
        [_embeddings(encoding) for encoding in encoded_queries],
        None if model.query_table is None else _by_table(model, texts, postings),
    )


def _by_table(model: Model, texts: Sequence[str], postings: Postings) -> Rows:
    """Sparse scores of queries that are looked up in the model's table."""
    looked_up = [model.idf(tokens) or {} for tokens in model.tokenize(texts, "query")]
    return np.stack([postings.scores(TermWeights.from_pairs(weights.items())) for weights in looked_up])


def tune(
    sets: Sequence[tuple[Stages, Collection]],
    boosts: Sequence[float] = BOOSTS,
    weights: Sequence[float] = WEIGHTS,
    window: int = 100,
) -> TunedWeights:
    """Choose the boost with the best hybrid ranking, then the rerank weight with the best reranking of it.

    Both by the mean nDCG@10 over the collections, each with the same weight. Among boosts within
    `TOLERANCE` of the best the smallest is chosen, as BM25 generalises better to unseen domains.
    """
    hybrids = {boost: _mean(sets, [scored.rank(scored.hybrid(boost)) for scored, _ in sets]) for boost in boosts}
    boost = min(value for value in boosts if hybrids[value] >= max(hybrids.values()) - TOLERANCE)
    ranked = [scored.rerank(scored.hybrid(boost), weights, window) for scored, _ in sets]
    reranked = {weight: _mean(sets, [rankings[weight] for rankings in ranked]) for weight in weights}
    weight = max(reranked, key=lambda value: reranked[value])
    return TunedWeights(boost, weight, hybrids[boost], reranked[weight])


def _mean(sets: Sequence[tuple[Stages, Collection]], rankings: Sequence[dict[str, list[str]]]) -> float:
    values = []
    for (scored, collection), ranking in zip(sets, rankings, strict=True):
        qrels = {query: collection.qrels[query] for query in scored.queries}
        values.append(evaluate(ranking, qrels, ["ndcg@10"])["ndcg@10"])
    return float(np.mean(values))


def _weights(encoding: Encoding) -> TermWeights:
    if encoding.weights is None:
        raise ValueError("the model has no term weights, which the hybrid ranking needs: load a joint model")
    return encoding.weights


def _embeddings(encoding: Encoding) -> TokenEmbeddings:
    if encoding.embeddings is None:
        raise ValueError("the model has no token embeddings, which reranking needs: load a joint model")
    return encoding.embeddings
