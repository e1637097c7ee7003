"""Reciprocal rank fusion."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cherche_models import fuse
from cherche_models.evaluate.stages import Stages

rankings = st.lists(st.lists(st.integers(0, 9), unique=True, max_size=8), min_size=1, max_size=3)
constants = st.integers(1, 100)
scores = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=12)


def fused(lists: list[list[int]], constant: int) -> dict[int, float]:
    return {key: fuse.reciprocal(places, constant) for key, places in fuse.ranks(lists).items()}


@given(rankings, constants)
def test_each_that_is_ranked_has_a_score_and_nothing_else_does(lists: list[list[int]], constant: int) -> None:
    found = fused(lists, constant)
    assert set(found) == {key for ranking in lists for key in ranking}
    most = len(lists) / (constant + 1) * (1 + 1e-12)  # a sum of fractions is rounded
    assert all(0 < score <= most for score in found.values())


@given(rankings, constants)
def test_the_order_of_the_rankings_does_not_matter(lists: list[list[int]], constant: int) -> None:
    again = lists[::-1]
    assert fused(again, constant) == pytest.approx(fused(lists, constant))


@given(rankings, constants)
def test_one_ranking_alone_keeps_its_order(lists: list[list[int]], constant: int) -> None:
    found = fused(lists[:1], constant)
    assert sorted(found, key=lambda key: -found[key]) == lists[0]


@given(rankings, constants)
def test_one_that_is_first_everywhere_is_first(lists: list[list[int]], constant: int) -> None:
    found = fused([[99, *ranking] for ranking in lists], constant)
    assert all(found[99] > score for key, score in found.items() if key != 99)


@given(rankings, constants)
def test_to_be_ranked_once_more_never_lowers_a_score(lists: list[list[int]], constant: int) -> None:
    before, after = fused(lists[:-1], constant), fused(lists, constant)
    assert all(after[key] >= score for key, score in before.items())


@given(scores, st.integers(1, 12), constants)
def test_only_the_order_of_each_part_matters(parts: list[tuple[int, int]], window: int, constant: int) -> None:
    """A sum depends on the scale of its parts; here any growing function of them gives the same scores."""
    bm25, sparse = np.array(parts, np.float64).T
    ids = [f"{i:02}" for i in range(len(parts))]
    one, other = (
        Stages(ids, ["q"], a[None], b[None], [], []).by_ranks(window, constant)
        for a, b in ((bm25, sparse), (bm25**3 * 7, np.expm1(sparse)))
    )
    assert one.tolist() == other.tolist()
    for part in (bm25, sparse):
        best = sorted((i for i in range(len(ids)) if part[i] > 0), key=lambda i: (-part[i], ids[i]))[:window]
        assert all(one[0, i] >= 1 / (constant + rank) for rank, i in enumerate(best, 1))
    assert (one[0] > 0).sum() <= 2 * window
