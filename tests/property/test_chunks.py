from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cherche_models.chunks import pooled
from cherche_models.types import TermWeights

WINDOWS = st.lists(
    st.dictionaries(st.integers(0, 9), st.floats(0.125, 9, width=32), max_size=6), min_size=1, max_size=5
)


def weights(parts: list[dict[int, float]]) -> list[TermWeights]:
    return [TermWeights.from_pairs(part.items()) for part in parts]


@given(WINDOWS)
def test_the_maximum_is_the_largest_weight_of_each_term(parts):
    found = pooled(weights(parts), "max")
    ids = sorted(set().union(*parts))
    assert list(found.items()) == [(i, max(part[i] for part in parts if i in part)) for i in ids]


@given(WINDOWS)
def test_the_quadratic_mean_lies_between_mean_and_maximum(parts):
    found = dict(pooled(weights(parts)).items())
    assert found.keys() == set().union(*parts)
    for i, weight in found.items():
        of_term = [part.get(i, 0.0) for part in parts]
        assert np.mean(of_term) * (1 - 1e-6) <= weight <= max(of_term) * (1 + 1e-6)


@given(WINDOWS, st.integers(1, 4))
def test_repeating_a_text_changes_nothing_and_length_no_norm(parts, times):
    once, again = (pooled(weights(windows)) for windows in (parts, parts * times))
    assert np.array_equal(once.ids, again.ids)
    assert np.allclose(once.weights, again.weights, rtol=1e-6)
    squares = [sum(weight**2 for weight in part.values()) for part in parts]
    assert float(np.square(once.weights, dtype=np.float64).sum()) == pytest.approx(np.mean(squares), rel=1e-5)


def test_an_unknown_pooling_is_refused():
    with pytest.raises(ValueError, match="unknown pooling 'sum': use rms or max"):
        pooled([TermWeights.empty()], "sum")
