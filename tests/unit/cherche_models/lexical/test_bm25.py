from __future__ import annotations

import math

import numpy as np
import pytest

from cherche_models.lexical.bm25 import Field, best_fields, stored_lengths


def test_a_score_is_the_one_that_lucene_explains() -> None:
    """OpenSearch 3.8.0 on SciFact: 2.80359 for a word 5 times in 232 (stored) words, held by 122 of 5,183 documents."""
    lengths = np.full(5183, 150)
    lengths[0] = 239
    lengths[1] += round(151.37778 * 5183) - int(lengths.sum())
    postings = np.arange(122), np.full(122, 5)
    assert Field.of(lengths).scores(postings)[0] == pytest.approx(2.80359, rel=1e-6)


def test_documents_without_the_field_do_not_count() -> None:
    postings = np.array([0]), np.array([1])
    assert Field.of(np.array([3, 5, 0, 0])).scores(postings) == Field.of(np.array([3, 5])).scores(postings)


def test_no_documents_and_no_text() -> None:
    none = np.empty(0, np.int64)
    assert Field.of(none).scores((none, none)).size == 0
    assert math.isfinite(Field.of(np.array([0])).norms[0])


def test_stored_lengths_are_exact_to_40_and_within_an_eighth_beyond() -> None:
    lengths = np.arange(100_000)
    stored = stored_lengths(lengths)
    assert stored[:41].tolist() == list(range(41))
    assert (stored <= lengths).all()
    assert ((lengths - stored) <= lengths / 8).all()
    assert len(set(stored.tolist())) < 256


def test_the_best_field_counts_wholly_and_the_others_in_part() -> None:
    scores = np.array([[1.0, 4.0], [2.0, 0.0], [3.0, 1.0]])
    assert best_fields(scores, [1.0, 1.0, 1.0], 0.5).tolist() == [4.5, 4.5]
    assert best_fields(scores, [1.0, 1.0, 1.0], 0.0).tolist() == [3.0, 4.0]
    assert best_fields(scores, [0.0, 2.0, 0.0], 1.0).tolist() == [4.0, 0.0]
