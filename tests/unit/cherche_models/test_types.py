from __future__ import annotations

import numpy as np
import pytest

from cherche_models.types import TermWeights, TokenEmbeddings, Tokens, lengths


def test_pairs_come_in_any_order():
    weights = TermWeights.from_pairs([(9, 0.5), (0, 2.0), (4, 1.0)])
    assert list(weights.items()) == [(0, 2.0), (4, 1.0), (9, 0.5)]
    assert (weights.ids.dtype, weights.weights.dtype) == (np.uint32, np.float32)


@pytest.mark.parametrize("ids", [[1, 1], [2, 1], [0, 5, 5]])
def test_ids_must_rise(ids):
    with pytest.raises(ValueError, match="be strictly increasing"):
        TermWeights(np.array(ids, np.uint32), np.ones(len(ids), np.float32))


def test_a_repeated_pair_is_refused():
    with pytest.raises(ValueError, match="be strictly increasing"):
        TermWeights.from_pairs([(1, 1.0), (1, 2.0)])


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="differ in shape"):
        TermWeights(np.zeros(2, np.uint32), np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="shape"):
        TokenEmbeddings(np.zeros(3, np.float32))


def test_dot_product_of_disjoint_and_empty_texts_is_zero():
    weights = TermWeights.from_pairs([(1, 1.0)])
    assert weights.dot(TermWeights.from_pairs([(2, 1.0)])) == 0.0
    assert weights.dot(TermWeights.empty()) == 0.0
    assert len(TermWeights.empty()) == 0


def test_dot_product_does_not_lose_small_terms():
    ids = np.arange(10_001, dtype=np.uint32)
    weights = TermWeights(ids, np.array([2.0**24, *[1.0] * 10_000], np.float32))
    ones = TermWeights(ids, np.ones(10_001, np.float32))
    assert weights.dot(ones) == 2.0**24 + 10_000


def test_equality_is_by_value():
    a, b = TermWeights.from_pairs([(1, 1.0)]), TermWeights.from_pairs([(1, 1.0)])
    assert a == b
    assert a != TermWeights.from_pairs([(1, 2.0)])
    assert a != "a"
    with pytest.raises(TypeError):
        hash(a)


def test_tokens_know_when_they_were_cut():
    whole, cut = Tokens((1, 2), ("a", "b"), 2), Tokens((1, 2), ("a", "b"), 9)
    assert (whole.truncated, cut.truncated) == (False, True)
    assert lengths([whole, cut, Tokens((), (), 0)]).tolist() == [2, 2, 0]
