"""Sparse rows and their inverted index."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from cherche_models.retrieve.sparse import postings_scores, split, stack

MATRIX = np.array([[0, 2, 0, 1], [0, 0, 0, 0], [3, 0, 4, 0]], dtype=np.float32)


def test_rows_are_split_and_stacked_again() -> None:
    whole = sparse.csr_array(MATRIX)
    rows = split(whole.data, whole.indices, whole.indptr, 4)
    assert [one.shape for one in rows] == [(1, 4)] * 3
    np.testing.assert_array_equal(stack(rows).toarray(), MATRIX)
    np.testing.assert_array_equal(stack(rows, 2).toarray(), MATRIX[:, :2])
    assert stack([]).shape == (0, 0)


def test_matches_are_the_allowed_documents_with_positive_scores() -> None:
    index = sparse.csr_array(MATRIX.T)
    queries = sparse.csr_array(np.array([[1, 1, 0, 0], [0, 0, -1, 1]], dtype=np.float32))
    found = [(p.tolist(), s.tolist()) for p, s in postings_scores(queries, index, None)]
    assert found == [([0, 2], [2.0, 3.0]), ([0], [1.0])]
    allowed = np.array([False, True, True])
    assert [p.tolist() for p, _ in postings_scores(queries, index, allowed)] == [[2], []]
