"""Batches of short texts, and what is made of the kernel's output, depend on nothing but the text."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cherche_models.kernel import short
from cherche_models.types import Tokens

RANDOM = np.random.default_rng(1)
HIDDEN, WEIGHT = RANDOM.standard_normal((60, 24), np.float32), RANDOM.standard_normal((8, 24), np.float32)


@given(st.lists(st.integers(0, 12), max_size=12), st.integers(1, 10), st.integers(1, 30))
def test_each_text_that_is_short_enough_has_one_place(sizes: list[int], most: int, budget: int) -> None:
    texts = [Tokens((1,) * size, ("a",) * size, size) for size in sizes]
    found = short.plan(texts, most, budget)
    assert [i for batch in found for i in batch] == [i for i, size in enumerate(sizes) if 0 < size <= most]
    assert all(len(batch) == 1 or sum(sizes[i] for i in batch) <= budget for batch in found)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_rows_have_length_1_and_the_same_bits_beside_any_others(sizes: list[int]) -> None:
    rows = short.unit_rows(HIDDEN[: sum(sizes)], sizes, WEIGHT)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    start = sum(sizes[:-1])
    alone = short.unit_rows(HIDDEN[start : sum(sizes)], sizes[-1:], WEIGHT)
    np.testing.assert_array_equal(rows[start:], alone)


def test_a_bias_is_added_and_a_row_of_zeros_stays() -> None:
    bias = np.arange(8, dtype=np.float32)
    found = short.unit_rows(HIDDEN[:2], [2], WEIGHT, bias)
    wanted = HIDDEN[:2] @ WEIGHT.T + bias
    np.testing.assert_allclose(found, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), rtol=1e-5)
    assert short.unit_rows(np.zeros((1, 24), np.float32), [1], WEIGHT).tolist() == [[0.0] * 8]
    assert short.unit_rows(np.empty((0, 24), np.float32), [], WEIGHT).shape == (0, 8)


def test_the_logarithm_is_taken_once_or_twice() -> None:
    logits = np.float32([-1, 0, 0.5, 3])
    np.testing.assert_allclose(short.activated(logits, "relu"), [0, 0, np.log(1.5), np.log(4)], rtol=1e-6)
    np.testing.assert_allclose(short.activated(logits, "log1p_relu")[3], np.log1p(np.log(4)), rtol=1e-6)
