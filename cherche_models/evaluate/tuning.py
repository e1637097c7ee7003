"""Tune the weights of the parts of a score on judged queries, evaluated by cross-validation.

A search that returns the parts of every hit's score can be ranked under any other
setting without another search.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cherche_models import fuse
from cherche_models.evaluate.significance import Comparison, compare, standard_error

Values = NDArray[np.float64]
DEPTH = 10
BOOSTS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
WINDOWS = (20, 50, 100, 200)


@dataclass(frozen=True, slots=True)
class Setting:
    """The parameters that `tune` chooses."""

    sparse_boost: float
    rerank_weight: float
    rerank_window: int


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """The hits of one query and their relevance, sorted by id, which breaks ties.

    Attributes
    ----------
    ids : sequence of str
    lexical, sparse, maxsim : float64 arrays, shape (hits,)
        Parts of the score, `sparse` at a boost of 1; `maxsim` is -inf for hits without codes.
    relevance : float64 array, shape (hits,)
    ideal : float
        DCG@10 of the ideal ranking of all judged documents, found or not.
    """

    ids: Sequence[str]
    lexical: Values
    sparse: Values
    maxsim: Values
    relevance: Values
    ideal: float

    def __post_init__(self) -> None:
        order = sorted(range(len(self.ids)), key=lambda i: self.ids[i])
        object.__setattr__(self, "ids", [self.ids[i] for i in order])
        for name in ("lexical", "sparse", "maxsim", "relevance"):
            object.__setattr__(self, name, getattr(self, name)[np.array(order, np.int64)])


@dataclass(frozen=True, slots=True)
class Tuned:
    """The chosen setting, and the gain of tuning estimated on held-out queries.

    Attributes
    ----------
    choice : Setting
        The best on all queries.
    held_out : Comparison
        nDCG@10 of the current setting, compared with settings chosen without the query's fold.
    folds : tuple of Setting
        Chosen for each fold on the others; their agreement shows how stable the choice is.
    errors : pair of float
        Standard errors of the two means of `held_out`.
    """

    choice: Setting
    held_out: Comparison
    folds: tuple[Setting, ...]
    errors: tuple[float | None, float | None]


def ideal_dcg(judgements: Mapping[str, float]) -> float:
    """DCG@10 of the ideal ranking; gains are linear, as in trec_eval.

    >>> round(ideal_dcg({"a": 2, "b": 1, "c": 0}), 4)
    2.6309
    """
    gains = sorted((max(0, gain) for gain in judgements.values()), reverse=True)[:DEPTH]
    return float(np.dot(gains, _discounts(len(gains))))


def ndcg(query: Judged, setting: Setting, *, by_ranks: bool = False) -> float:
    """nDCG@10 of a query's hits under a setting: hybrid first stage, reranked window, ties by id.

    With `by_ranks` the first stage is the reciprocal rank fusion of both parts, over these hits.
    """
    first = _by_ranks(query) if by_ranks else query.lexical + setting.sparse_boost * query.sparse
    order = np.argsort(-first, kind="stable")
    inside = np.sort(order[: setting.rerank_window])
    fused = fuse.convex(first[inside], query.maxsim[inside], setting.rerank_weight)
    inside = inside[np.argsort(-fused, kind="stable")]
    best = np.concatenate([inside, order[setting.rerank_window :]])[:DEPTH]
    return float(np.dot(query.relevance[best], _discounts(len(best)))) / query.ideal


def grid(
    current: Setting,
    boosts: Sequence[float] = BOOSTS,
    weights: Sequence[float] = WEIGHTS,
    windows: Sequence[int] = WINDOWS,
) -> list[Setting]:
    """All settings to try, `current` first, so that it wins ties."""
    tried = [Setting(*one) for one in itertools.product(boosts, weights, windows)]
    return [current, *(setting for setting in tried if setting != current)]


def tune(
    queries: Mapping[str, Judged], current: Setting, settings: Sequence[Setting], *, folds: int = 5, seed: int = 0
) -> Tuned:
    """Choose a setting by mean nDCG@10, and estimate its gain by cross-validation over queries.

    Parameters
    ----------
    queries : mapping of query id → Judged
    current : Setting
        The baseline.
    settings : sequence of Setting
        See `grid`; the first of equally good ones is chosen.
    folds : int
        Each is evaluated with the setting chosen on the others.
    seed : int
        Of the folds.

    Raises
    ------
    ValueError
        If there are fewer queries than folds, or fewer than two folds.
    """
    if not 2 <= folds <= len(queries):
        raise ValueError(f"{folds} folds of {len(queries)} queries: give at least 2 folds, and a query for each")
    values = np.array([[ndcg(query, setting) for query in queries.values()] for setting in settings])
    fold = np.random.default_rng(seed).permutation(len(queries)) % folds
    chosen = [int(values[:, fold != one].mean(axis=1).argmax()) for one in range(folds)]
    held_out = values[np.array(chosen)[fold], np.arange(len(queries))]
    before = [ndcg(query, current) for query in queries.values()]
    return Tuned(
        settings[int(values.mean(axis=1).argmax())],
        compare(dict(zip(queries, before, strict=True)), dict(zip(queries, held_out.tolist(), strict=True))),
        tuple(settings[i] for i in chosen),
        (standard_error(before), standard_error(held_out)),
    )


def ranks_against_sum(queries: Mapping[str, Judged], setting: Setting) -> Comparison:
    """nDCG@10 of the weighted sum (a) and of reciprocal rank fusion (b), which has no weight to choose."""
    a, b = ({key: ndcg(query, setting, by_ranks=way) for key, query in queries.items()} for way in (False, True))
    return compare(a, b)


def _by_ranks(query: Judged) -> Values:
    """Reciprocal ranks of the hits, which are in the order of their ids."""
    rankings = [
        [i for i in np.argsort(-part, kind="stable").tolist() if part[i] > 0] for part in (query.lexical, query.sparse)
    ]
    places = fuse.ranks(rankings)
    return np.array([fuse.reciprocal(places.get(i, ())) for i in range(len(query.ids))], np.float64)


def _discounts(count: int) -> Values:
    found: Values = 1 / np.log2(np.arange(2, count + 2))
    return found
