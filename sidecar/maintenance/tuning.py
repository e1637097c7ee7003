"""Sparse boost, rerank weight and window of an index, fitted to the hits of judged searches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cherche_models.evaluate import tuning
from cherche_models.evaluate.tuning import Judged, Setting, Tuned
from sidecar.errors import invalid
from sidecar.values.index import IndexMeta
from sidecar.values.search import Hit, SearchRequest

DEPTH = 200
FOLDS = 5
SIGNIFICANT = 0.05


@dataclass(frozen=True, slots=True)
class Fit:
    """What an index has, what is chosen instead, and whether the choice proved better on held-out queries."""

    current: Setting
    tuned: Tuned
    is_better: bool

    @property
    def changes(self) -> bool:
        """Whether the choice is another setting, and proved better."""
        return self.is_better and self.tuned.choice != self.current


def request(index: str, text: str, depth: int = DEPTH) -> SearchRequest:
    """The search whose hits bring the parts of their scores, under whatever setting they are ranked later."""
    return SearchRequest(index, text, mode="hybrid", rerank=True, rerank_window=depth, size=depth)


def judged(hits: Sequence[Hit], judgements: Mapping[str, float], boost: float) -> Judged:
    """The parts of a search's hits and what the judgements say of them.

    Parameters
    ----------
    hits : sequence of Hit
        Of `request`.
    judgements : mapping of id → gain
        One that is not judged has none.
    boost : float
        Sparse boost under which they were found.
    """
    return Judged(
        [hit.id for hit in hits],
        np.array([hit.parts.lexical or 0.0 for hit in hits], np.float64),
        np.array([(hit.parts.sparse or 0.0) / boost for hit in hits], np.float64),
        np.array([-math.inf if hit.parts.maxsim is None else hit.parts.maxsim for hit in hits], np.float64),
        np.array([max(0, judgements.get(hit.id, 0)) for hit in hits], np.float64),
        tuning.ideal_dcg(judgements),
    )


def setting_of(meta: IndexMeta) -> Setting:
    """What an index has."""
    return Setting(meta.sparse_boost, meta.rerank_weight, meta.rerank_window)


def fit(
    queries: Mapping[str, Judged],
    current: Setting,
    *,
    depth: int = DEPTH,
    folds: int = FOLDS,
    seed: int = 0,
    p_value: float = 1.0,
) -> Fit:
    """Choose among all settings, as `tuning.tune`.

    Parameters
    ----------
    depth : int
        Hits of each query; no window is tried that is larger.
    p_value : float
        Up to which a held-out gain counts.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for fewer queries than folds.
    """
    settings = tuning.grid(current, windows=[window for window in tuning.WINDOWS if window <= depth])
    try:
        tuned = tuning.tune(queries, current, settings, folds=folds, seed=seed)
    except ValueError as error:
        raise invalid(str(error), "give more judged queries, or fewer folds") from error
    return Fit(current, tuned, tuned.held_out.difference > 0 and tuned.held_out.p_value <= p_value)
