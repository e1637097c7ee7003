"""Hybrid search and reranking of an in-memory collection, for tuning and evaluating a model.

Computes the same scores as an engine, over all documents at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cherche_models import fuse, scores
from cherche_models.types import TermWeights, TokenEmbeddings

Rows = NDArray[np.float64]


class Postings:
    """An inverted index of term weights.

    Parameters
    ----------
    documents : sequence of TermWeights
    """

    def __init__(self, documents: Sequence[TermWeights]) -> None:
        ids = np.concatenate([d.ids for d in documents]) if documents else np.empty(0, np.uint32)
        order = np.argsort(ids, kind="stable")
        rows = np.repeat(np.arange(len(documents)), [len(d) for d in documents])
        self._size = len(documents)
        self._terms = ids[order]
        self._rows = rows[order]
        self._weights = np.concatenate([d.weights for d in documents])[order] if documents else np.empty(0)

    def scores(self, query: TermWeights) -> Rows:
        """Dot product with every document, shape (documents,).

        >>> Postings([TermWeights.from_pairs([(1, 2.0)])]).scores(TermWeights.from_pairs([(1, 3.0)])).tolist()
        [6.0]
        """
        starts = np.searchsorted(self._terms, query.ids, "left")
        ends = np.searchsorted(self._terms, query.ids, "right")
        total = np.zeros(self._size)
        for start, end, weight in zip(starts, ends, query.weights.astype(np.float64), strict=True):
            total[self._rows[start:end]] += weight * self._weights[start:end]
        return total


@dataclass(frozen=True, slots=True, eq=False)
class Stages:
    """Scores of each stage, which can be combined with any weights.

    Attributes
    ----------
    ids : sequence of str
        Documents, in the order of the columns.
    queries : sequence of str
        Query ids, in the order of the rows.
    bm25, sparse : float64 arrays, shape (queries, documents)
    embeddings : sequence of TokenEmbeddings
        Of the documents.
    query_embeddings : sequence of TokenEmbeddings
    by_table : float64 array, shape (queries, documents), or None
        Sparse scores of queries whose terms the model's table weighs, without a forward pass.
    """

    ids: Sequence[str]
    queries: Sequence[str]
    bm25: Rows
    sparse: Rows
    embeddings: Sequence[TokenEmbeddings]
    query_embeddings: Sequence[TokenEmbeddings]
    by_table: Rows | None = None

    def hybrid(self, boost: float) -> Rows:
        """``BM25 + boost * sparse``."""
        return self.bm25 + boost * self.sparse

    def by_ranks(self, window: int = 100, constant: int = fuse.RANK_CONSTANT) -> Rows:
        """Reciprocal rank fusion of the best `window` documents of BM25 and of the sparse score."""
        column = {key: i for i, key in enumerate(self.ids)}
        fused = np.zeros_like(self.bm25)
        for row, parts in zip(fused, zip(self.bm25, self.sparse, strict=True), strict=True):
            for key, places in fuse.ranks([best(part, self.ids, window) for part in parts]).items():
                row[column[key]] = fuse.reciprocal(places, constant)
        return fused

    def rank(self, first: Rows, k: int = 100) -> dict[str, list[str]]:
        """The best `k` documents of each query with scores above 0; ties by id."""
        return {query: best(row, self.ids, k) for query, row in zip(self.queries, first, strict=True)}

    def rerank(self, first: Rows, weights: Sequence[float], window: int = 100) -> dict[float, dict[str, list[str]]]:
        """Rerank each query's window by MaxSim, for several weights.

        Returns
        -------
        dict of weight → query id → ranking
        """
        results: dict[float, dict[str, list[str]]] = {weight: {} for weight in weights}
        column = {key: i for i, key in enumerate(self.ids)}
        for query, row, embedding in zip(self.queries, first, self.query_embeddings, strict=True):
            ids = best(row, self.ids, window)
            rows = [column[key] for key in ids]
            late = scores.maxsim(embedding, scores.pack([self.embeddings[i] for i in rows])).astype(np.float64)
            for weight in weights:
                mixed = fuse.convex(row[rows], late, weight)
                results[weight][query] = [ids[i] for i in fuse.order(mixed, ids)]
        return results


def best(row: Rows, ids: Sequence[str], k: int) -> list[str]:
    """The `k` ids with the largest scores above 0, in descending order; ties by id.

    >>> best(np.array([1.0, 0.0, 2.0, 1.0]), ["d", "c", "b", "a"], 3)
    ['b', 'a', 'd']
    """
    # Twice the cutoff, so that ties at rank k are broken by id.
    top = np.argsort(-row, kind="stable")[: min(2 * k, row.size)]
    top = top[row[top] > 0]
    found = [ids[i] for i in top]
    return [found[i] for i in fuse.order(row[top], found)][:k]


def matrix(queries: Sequence[Mapping[str, float]], ids: Sequence[str]) -> Rows:
    """Scores by document id as rows over `ids`; documents without a score get 0.

    >>> matrix([{"b": 2.0}], ["a", "b"]).tolist()
    [[0.0, 2.0]]
    """
    column = {key: i for i, key in enumerate(ids)}
    rows = np.zeros((len(queries), len(ids)))
    for row, found in zip(rows, queries, strict=True):
        for key, score in found.items():
            row[column[key]] = score
    return rows
