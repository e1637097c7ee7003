from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cherche_models import grid

INFO = np.finfo(np.float32)
LARGEST_ON_GRID = float(grid.decode(np.uint16([0xFEFF]))[0])

storable = hnp.arrays(
    np.float32, hnp.array_shapes(max_dims=2), elements=st.floats(float(INFO.tiny), float(INFO.max), width=32)
)
anything = hnp.arrays(np.float32, st.integers(0, 20), elements=st.floats(width=32, allow_subnormal=True))


def lucene(weights):
    """What FeatureField keeps: ``floatToIntBits(w) >>> 15``, and reads back."""
    return (weights.view(np.uint32) >> np.uint32(15) << np.uint32(15)).view(np.float32)


@given(storable)
def test_an_engine_keeps_a_rounded_weight_as_it_is(weights):
    rounded = grid.round_to_grid(weights)
    assert np.array_equal(lucene(rounded), rounded)


@given(storable)
def test_rounding_twice_changes_nothing_more(weights):
    once = grid.round_to_grid(weights)
    assert np.array_equal(grid.round_to_grid(once), once)
    assert np.array_equal(grid.decode(grid.encode(once)), once)


@given(storable)
def test_the_error_is_at_most_half_a_step(weights):
    within = weights[weights <= LARGEST_ON_GRID].astype(np.float64)
    rounded = grid.round_to_grid(within.astype(np.float32)).astype(np.float64)
    assert (np.abs(rounded - within) <= within * 2.0**-9).all()


@given(storable)
def test_rounding_is_at_least_as_near_as_truncation(weights):
    exact = weights.astype(np.float64)
    assert (np.abs(grid.round_to_grid(weights) - exact) <= np.abs(lucene(weights) - exact)).all()


@given(storable)
def test_order_is_kept(weights):
    flat = np.sort(weights.ravel())
    assert (np.diff(grid.encode(flat).astype(np.int64)) >= 0).all()


@given(anything)
def test_what_can_be_stored_comes_back_storable(weights):
    kept = weights[grid.storable(weights)]
    assert grid.storable(grid.round_to_grid(kept)).all()
    assert (np.isfinite(kept) & (kept > 0)).all()
