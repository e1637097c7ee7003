"""Sparse rows of term weights and their inverted index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cherche_models.retrieve.base import Retriever, Scored

Rows: TypeAlias = "sparse.csr_array[Any, tuple[int, int]]"


class SparseRetriever(Retriever[Rows]):
    """Retrieval by dot products of sparse rows with a matrix of terms × documents.

    A document or query is a CSR matrix of one row. Weights that depend on the whole
    index (idf, mean length) are recomputed at the first search after a change.
    """

    _index: Rows

    def _weigh(self, rows: Rows) -> Rows:
        """Weights of the documents, shape (documents, terms)."""
        return rows

    def _weigh_queries(self, rows: Rows) -> Rows:
        """Weights of queries, shape (queries, terms)."""
        return rows

    def _build(self) -> None:
        rows = self._weigh(stack(list(self._documents.values())))
        self._index = sparse.csr_array(rows.T)

    def _scores(self, queries: Sequence[Rows], allowed: NDArray[np.bool_] | None) -> Iterator[Scored]:
        rows = self._weigh_queries(stack(queries, self._index.shape[0]))
        return postings_scores(rows, self._index, allowed)

    def _arrays(self, embeddings: list[Rows]) -> dict[str, NDArray[Any]]:
        rows = stack(embeddings)
        return {
            "weights": rows.data,
            "terms": rows.indices.astype(np.int64),
            "offsets": rows.indptr.astype(np.int64),
            "width": np.array([rows.shape[1]]),
        }

    def _embeddings(self, arrays: Mapping[str, NDArray[Any]]) -> list[Rows]:
        return split(arrays["weights"], arrays["terms"], arrays["offsets"], int(arrays["width"][0]))


def postings_scores(queries: Rows, index: Rows, allowed: NDArray[np.bool_] | None) -> Iterator[Scored]:
    """Documents of an index (terms × documents) with positive dot products with each query, and these."""
    found = sparse.csr_array(queries @ index)
    found.sort_indices()
    for start, end in pairwise(found.indptr.tolist()):
        positions, scores = found.indices[start:end].astype(np.int64), found.data[start:end].astype(np.float32)
        kept = scores > 0 if allowed is None else (scores > 0) & allowed[positions]
        yield positions[kept], scores[kept]


def row(terms: NDArray[Any], weights: NDArray[Any], width: int) -> Rows:
    """One row.

    >>> row(np.array([2]), np.array([0.5]), 4).toarray().tolist()
    [[0.0, 0.0, 0.5, 0.0]]
    """
    return sparse.csr_array((weights, terms, np.array([0, len(terms)])), shape=(1, width))


def split(weights: NDArray[Any], terms: NDArray[Any], offsets: NDArray[Any], width: int) -> list[Rows]:
    """The rows of a CSR matrix; the inverse of `stack`."""
    return [row(terms[a:b], weights[a:b], width) for a, b in pairwise(offsets.tolist())]


def stack(rows: Sequence[Rows], width: int | None = None) -> Rows:
    """One matrix of all rows, as wide as the widest one or `width`; terms beyond `width` are dropped.

    >>> stack([row(np.array([0, 2]), np.array([1.0, 5.0]), 3), row(np.array([1]), np.array([2.0]), 2)], 2).toarray()
    array([[1., 0.],
           [0., 2.]])
    """
    widest = max((r.shape[1] for r in rows), default=0)
    size = widest if width is None else width
    terms = np.concatenate([r.indices for r in rows]) if rows else np.empty(0, np.int64)
    weights = np.concatenate([r.data for r in rows]) if rows else np.empty(0, np.float32)
    lengths = np.array([r.nnz for r in rows], dtype=np.int64)
    if widest > size:
        kept = terms < size
        owners = np.repeat(np.arange(len(rows)), lengths)[kept]
        terms, weights, lengths = terms[kept], weights[kept], np.bincount(owners, minlength=len(rows))
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    return sparse.csr_array((weights, terms, offsets), shape=(len(rows), size))
