"""BM25 as Lucene's ``BM25Similarity`` computes it, and its ``multi_match`` over fields.

A word of a query contributes ``idf · tf / (tf + k1 · (1 - b + b · length / mean length))`` with ``idf = ln(1 + (N -
df + 0.5) / (df + 0.5))`` (Robertson & Zaragoza 2009, "The Probabilistic Relevance Framework", in the variant that
Kamphuis et al. 2020, "Which BM25 Do You Mean?", call Lucene's). N and the mean length are of the documents that have
the field. Lengths are rounded as Lucene stores them, in one byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cherche_models.lexical.table import Postings, Rows

K1, B = 1.2, 0.75
TIE_BREAKER = 0.5
"""Share of the fields that match less well, as in the Elasticsearch baseline of BEIR (Thakur et al. 2021)."""

# What exceeds 24 keeps four significant bits (SmallFloat.intToByte4).
_EXACT = 24
_STORED_LENGTHS = np.array(
    [*range(_EXACT + 8), *(_EXACT + (mantissa << shift) for shift in range(28) for mantissa in range(8, 16))]
)

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """Statistics of one field.

    Attributes
    ----------
    count : int
        Documents that have the field.
    norms : float64 array, shape (documents,)
        ``k1 · (1 - b + b · length / mean length)``.
    """

    count: int
    norms: Scores

    @classmethod
    def of(cls, lengths: Rows) -> Field:
        """Statistics of a field with these numbers of words, shape (documents,)."""
        count = int(np.count_nonzero(lengths))
        mean = lengths.sum() / max(count, 1)
        return cls(count, K1 * (1 - B + B * stored_lengths(lengths) / max(mean, 1e-9)))

    def scores(self, postings: Postings) -> Scores:
        """What a word adds to the documents that have it, parallel to its postings by position.

        >>> Field.of(np.array([4, 6, 0])).scores((np.array([0]), np.array([2]))).round(4).tolist()
        [0.459]
        """
        documents, frequencies = postings
        idf = np.log1p((self.count - documents.size + 0.5) / (documents.size + 0.5))
        found: Scores = idf * frequencies / (frequencies + self.norms[documents])
        return found


def stored_lengths(lengths: Rows) -> Rows:
    """Lengths as Lucene stores them: the next smaller one that fits in a byte.

    >>> stored_lengths(np.array([7, 39, 41, 151])).tolist()
    [7, 39, 40, 144]
    """
    return _STORED_LENGTHS[np.searchsorted(_STORED_LENGTHS, lengths, "right") - 1]


def best_fields(scores: Scores, boosts: Sequence[float], tie_breaker: float = TIE_BREAKER) -> Scores:
    """Score of the best field, plus a share of the others.

    Parameters
    ----------
    scores : float64 array, shape (fields, documents)
    boosts : sequence of float
        Of the fields.
    tie_breaker : float
        That share.

    >>> best_fields(np.array([[1.0], [3.0]]), [2.0, 1.0]).tolist()
    [4.0]
    """
    weighted = scores * np.array(boosts)[:, None]
    best: Scores = weighted.max(axis=0, initial=0.0)
    total: Scores = best + tie_breaker * (weighted.sum(axis=0) - best)
    return total
