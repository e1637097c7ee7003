from __future__ import annotations

import numpy as np
import pytest

from cherche_models import fuse


def test_min_max_scales_to_the_unit_interval():
    assert fuse.min_max(np.array([-2.0, 0.0, 6.0])).tolist() == [0.0, 0.25, 1.0]


@pytest.mark.parametrize(
    ("values", "scaled"),
    [
        ([3.0], [1.0]),
        ([3.0, 3.0], [1.0, 1.0]),
        ([3.0, -np.inf], [1.0, 0.0]),
        ([-np.inf, -np.inf], [0.0, 0.0]),
        ([], []),
    ],
)
def test_equal_values_are_all_the_best(values, scaled):
    assert fuse.min_max(np.array(values)).tolist() == scaled


def test_what_is_not_known_gets_nothing_and_moves_nobody():
    assert fuse.min_max(np.array([1.0, -np.inf, 3.0, np.nan, 2.0])).tolist() == [0.0, 0.0, 1.0, 0.0, 0.5]


def test_the_weight_is_the_share_of_maxsim():
    first, maxsim = np.array([10.0, 0.0]), np.array([0.0, 10.0])
    assert fuse.convex(first, maxsim, 0.0).tolist() == [1.0, 0.0]
    assert fuse.convex(first, maxsim, 1.0).tolist() == [0.0, 1.0]
    assert fuse.convex(first, maxsim, 0.25).tolist() == [0.75, 0.25]


@pytest.mark.parametrize("weight", [-0.1, 1.1, np.nan])
def test_a_weight_that_is_no_share_is_refused(weight):
    with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
        fuse.convex(np.zeros(1), np.zeros(1), weight)


def test_ties_are_broken_by_id():
    assert fuse.order(np.array([1.0, 1.0, 2.0]), ["b", "a", "z"]) == [2, 1, 0]


def test_reciprocal_ranks_are_those_of_the_paper():
    """Cormack et al. 2009, equation 1 with k = 60."""
    found = fuse.ranks([["a", "b", "c"], ["c", "a"]])
    assert found == {"a": (1, 2), "b": (2, None), "c": (3, 1)}
    assert fuse.reciprocal(found["a"]) == 1 / 61 + 1 / 62
    assert fuse.reciprocal(found["b"]) == 1 / 62
    assert fuse.reciprocal((None, None)) == 0
