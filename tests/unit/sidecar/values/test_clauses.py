from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.values.clauses import heaviest, holds, sparse_clause
from sidecar.values.documents import SPARSE_VECTOR
from sidecar.values.first_stage import SparseClause

CLAUSES = (SparseClause(3, "run", 1.5), SparseClause(9, "%2E", 0.25))


def test_a_sum_of_linear_rank_features_each_with_its_share_of_the_boost() -> None:
    features = [
        {"rank_feature": {"field": "cherche_weights.run", "linear": {}, "boost": 0.75}},
        {"rank_feature": {"field": "cherche_weights.%2E", "linear": {}, "boost": 0.125}},
    ]
    assert sparse_clause(CLAUSES, 0.5) == {"bool": {"should": features, "_name": "cherche_sparse"}}


def test_a_sparse_vector_query_is_not_pruned() -> None:
    vector = {"field": "cherche_weights", "query_vector": {"run": 3.0, "%2E": 0.5}, "prune": False}
    assert sparse_clause(CLAUSES, 2.0, SPARSE_VECTOR) == {"sparse_vector": {**vector, "_name": "cherche_sparse"}}


def test_no_clause_matches_nothing() -> None:
    assert sparse_clause((), 1.0) == {"match_none": {}}


@pytest.mark.parametrize(
    ("kind", "query"),
    [
        ("rank_features", {"rank_feature": {"field": "cherche_weights.run", "linear": {}}}),
        (
            "sparse_vector",
            {"sparse_vector": {"field": "cherche_weights", "query_vector": {"run": 1.0}, "prune": False}},
        ),
    ],
)
def test_a_filter_for_one_feature(kind: str, query: dict[str, object]) -> None:
    assert holds("run", kind) == query


@given(
    st.lists(st.floats(0.001, 10), max_size=40, unique=True),
    st.integers(0, 50),
)
def test_the_heaviest_terms_are_kept(weights: list[float], limit: int) -> None:
    clauses = [SparseClause(number, str(number), weight) for number, weight in enumerate(weights)]
    kept, cut = heaviest(clauses, limit)
    assert len(kept) == min(limit, len(clauses))
    assert len(kept) + cut == len(clauses)
    assert sorted(clause.weight for clause in kept) == sorted(weights)[cut:]
    assert [clause.id for clause in kept] == sorted(clause.id for clause in kept)
