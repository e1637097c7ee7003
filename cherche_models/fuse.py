"""Fusion of a first stage and MaxSim over a rerank window, and of rankings by reciprocal ranks."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Key = TypeVar("Key", bound=Hashable)
Ranks = tuple[int | None, ...]
"""Rank in each ranking, from 1; None where it is not in it."""

RANK_CONSTANT = 60
"""k of reciprocal rank fusion in Cormack et al. 2009."""


def min_max(values: Values) -> Values:
    """Scale the finite values to [0, 1]; other values become 0.

    If all values are equal they become 1, as in OpenSearch's min_max normalisation, so a single hit scores 1.

    >>> min_max(np.array([1.0, 3.0, 2.0])).tolist()
    [0.0, 1.0, 0.5]
    >>> min_max(np.array([3.0])).tolist()
    [1.0]
    """
    finite = np.isfinite(values)
    if not bool(finite.any()):
        return np.zeros_like(values)
    low, high = float(values[finite].min()), float(values[finite].max())
    scaled = (values - low) / (high - low) if high > low else np.ones_like(values)
    return np.where(finite, scaled, 0.0)


def convex(first: Values, maxsim: Values, weight: float) -> Values:
    """Convex combination of both stages: ``(1 - weight) * first + weight * maxsim``, each min-max scaled.

    Parameters
    ----------
    first, maxsim : float64 arrays, shape (window,)
        Documents without codes have a MaxSim of -inf, which is scaled to 0.
    weight : float in [0, 1]
        Share of MaxSim.

    Returns
    -------
    float64 array, shape (window,), in [0, 1].

    Raises
    ------
    ValueError
        If the weight is outside [0, 1].

    >>> convex(np.array([2.0, 1.0]), np.array([5.0, 9.0]), 0.75).tolist()
    [0.25, 0.75]
    """
    if not 0.0 <= weight <= 1.0:
        raise ValueError(f"rerank weight {weight} is outside [0, 1]")
    return (1.0 - weight) * min_max(first) + weight * min_max(maxsim)


def below(first: float) -> float:
    """Score of a hit below the window: ``-1 / (1 + first)``, less than any fused one.

    It falls with the first stage's score, which is not negative, and pages that are requested one by one agree about
    it, since it needs nothing of the window.

    >>> below(3.0), below(1.0)
    (-0.25, -0.5)
    """
    return -1.0 / (1.0 + first)


def order(scores: Values, ids: Sequence[str]) -> list[int]:
    """Positions in descending order of score, ties in ascending order of id.

    >>> order(np.array([1.0, 2.0, 1.0]), ["b", "c", "a"])
    [1, 2, 0]
    """
    falling = (-scores).tolist()
    return sorted(range(len(ids)), key=lambda i: (falling[i], ids[i]))


def ranks(rankings: Sequence[Iterable[Key]]) -> dict[Key, Ranks]:
    """Ranks of everything that is in one of the rankings at least.

    >>> ranks([["a", "b"], ["b"]])
    {'a': (1, None), 'b': (2, 1)}
    """
    places = [{key: rank for rank, key in enumerate(ranking, 1)} for ranking in rankings]
    return {
        key: tuple(place.get(key) for place in places) for key in dict.fromkeys(k for place in places for k in place)
    }


def reciprocal(places: Ranks, constant: float = RANK_CONSTANT) -> float:
    """Score of ranks: the sum of ``1 / (constant + rank)``.

    Cormack, Clarke & Büttcher 2009, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning
    Methods", equation 1.

    >>> reciprocal((1, None), 60) == 1 / 61
    True
    """
    return sum(1.0 / (constant + rank) for rank in places if rank is not None)
