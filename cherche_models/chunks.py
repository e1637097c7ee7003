"""Term weights of a long document's windows become weights of the document."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cherche_models.types import TermWeights

RMS, MAX = "rms", "max"
POOLINGS = (RMS, MAX)
"""Quadratic mean over the windows, and maximum. The latter grows with the number of windows: for existing indices."""


def pooled(parts: Sequence[TermWeights], how: str = RMS) -> TermWeights:
    """One weight for each term of a document's windows, which are of equal length.

    The quadratic mean, ``sqrt(sum_k w_k^2 / windows)``, is between the mean, which a term of one passage does not
    survive, and the maximum, of which a document with more windows has more large weights, so that long documents
    outrank short ones. A text that repeats itself weighs what one of its windows weighs.

    Parameters
    ----------
    parts : sequence of TermWeights
        Of the windows; at least one.
    how : {"rms", "max"}

    Raises
    ------
    ValueError
        If the pooling is unknown.

    >>> one, two = TermWeights.from_pairs([(1, 3.0), (3, 2.0)]), TermWeights.from_pairs([(1, 4.0)])
    >>> [(i, round(weight, 3)) for i, weight in pooled([one, two]).items()]
    [(1, 3.536), (3, 1.414)]
    >>> list(pooled([one, two], "max").items())
    [(1, 4.0), (3, 2.0)]
    """
    if how not in POOLINGS:
        raise ValueError(f"unknown pooling {how!r}: use {' or '.join(POOLINGS)}")
    ids, places = np.unique(np.concatenate([part.ids for part in parts]), return_inverse=True)
    weights = np.concatenate([part.weights for part in parts]).astype(np.float64)
    if how == RMS:
        return TermWeights(ids, np.sqrt(np.bincount(places, weights**2) / len(parts)).astype(np.float32))
    largest = np.zeros(len(ids))
    np.maximum.at(largest, places, weights)
    return TermWeights(ids, largest.astype(np.float32))
