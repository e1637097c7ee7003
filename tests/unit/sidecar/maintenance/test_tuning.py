"""Hits become the parts that a setting is fitted to; a gain counts only up to its p-value."""

from __future__ import annotations

import numpy as np
import pytest

from cherche_models.evaluate.tuning import Judged, Setting
from sidecar.errors import ChercheError, Code
from sidecar.maintenance import tuning
from sidecar.values.search import Hit, ScoreParts

NOW = Setting(1.0, 0.5, 100)


def hit(id: str, lexical: float, sparse: float, maxsim: float | None) -> Hit:
    return Hit(id, 1, 0.0, ScoreParts(lexical, sparse, lexical + sparse, 1, maxsim), {})


def test_the_parts_of_a_hit_are_without_its_boost() -> None:
    found = tuning.judged([hit("b", 1.0, 6.0, None), hit("a", 2.0, 3.0, 0.5)], {"a": 2, "c": 1}, 3.0)
    assert list(found.ids) == ["a", "b"]
    assert found.sparse.tolist() == [1.0, 2.0]
    assert found.maxsim.tolist() == [0.5, -np.inf]
    assert found.relevance.tolist() == [2.0, 0.0]
    assert found.ideal == pytest.approx(2 + 1 / np.log2(3)), "what was judged and not found counts"


def query() -> Judged:
    """Words and MaxSim prefer the wrong document; the weights do not, and win from a boost of 1.25 on."""
    lexical, sparse, maxsim = np.array([1.0, 2.0]), np.array([0.8, 0.0]), np.array([0.0, 1.0])
    return Judged(["a", "b"], lexical, sparse, maxsim, np.array([1.0, 0.0]), 1.0)


def test_a_gain_counts_up_to_its_p_value() -> None:
    certain = tuning.fit({str(i): query() for i in range(12)}, NOW, p_value=tuning.SIGNIFICANT)
    assert certain.changes
    assert certain.tuned.choice.sparse_boost > 1
    assert certain.tuned.held_out.p_value < 0.05
    assert certain.tuned.errors == (pytest.approx(0.0), pytest.approx(0.0))
    few = {str(i): query() for i in range(5)}
    assert not tuning.fit(few, NOW, p_value=tuning.SIGNIFICANT).changes, "five of five come by chance once in 16"
    assert tuning.fit(few, NOW).changes


def test_no_window_is_tried_beyond_what_was_read() -> None:
    found = tuning.fit({str(i): query() for i in range(5)}, NOW, depth=50)
    assert found.tuned.choice.rerank_window <= 100
    assert tuning.request("articles", "words", 50).rerank_window == 50


def test_fewer_queries_than_folds_are_refused() -> None:
    with pytest.raises(ChercheError, match="5 folds of 3 queries") as refused:
        tuning.fit({str(i): query() for i in range(3)}, NOW)
    assert refused.value.code is Code.INVALID_ARGUMENT
