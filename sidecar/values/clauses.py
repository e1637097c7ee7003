"""A query's term weights as a clause of the query DSL. Pure.

The engine puts the clause into the searches that it sends, and the PluginService hands the same clause to the plugin,
which puts it into searches inside the cluster: both write it here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sidecar.values.documents import RANK_FEATURES, SPARSE_VECTOR, WEIGHTS, Json
from sidecar.values.first_stage import SparseClause

SPARSE = "cherche_sparse"
"""Name of the clause, under which a hit's response gives its score."""


def sparse_clause(clauses: Sequence[SparseClause], boost: float, kind: str = RANK_FEATURES) -> dict[str, Any]:
    """Write `boost` · Σ query weight · document weight as a named clause.

    Parameters
    ----------
    clauses : sequence of SparseClause
    boost : float
    kind : {"rank_features", "sparse_vector"}
        Type of the field that holds the weights.
    """
    if not clauses:
        return {"match_none": {}}
    [(query, body)] = weighted_sum(clauses, boost, kind).items()
    return {query: {**body, "_name": SPARSE}}


def weighted_sum(clauses: Sequence[SparseClause], boost: float, kind: str) -> dict[str, Any]:
    """Write `boost` · Σ query weight · document weight.

    Only ``linear`` keeps the dot product of SPLADE (Formal et al. 2021, eq. 2). A ``sparse_vector`` query is
    that product too, once its pruning is off, which newer Elasticsearch switches on with the field.
    """
    # In each weight, not around the sum: Lucene inlines a nested disjunction only where it has no boost of its own,
    # and skips blocks of postings across both clauses only where they are one disjunction (BooleanQuery.rewrite).
    boosted = [(clause.name, boost * clause.weight) for clause in clauses]
    if kind == SPARSE_VECTOR:
        return {"sparse_vector": _vector(dict(boosted))}
    features = [
        {"rank_feature": {"field": f"{WEIGHTS}.{name}", "linear": {}, "boost": weight}} for name, weight in boosted
    ]
    return {"bool": {"should": features}}


def holds(feature: str, kind: str) -> dict[str, Any]:
    """Write a filter for the documents that hold a feature."""
    if kind == SPARSE_VECTOR:
        return {"sparse_vector": _vector({feature: 1.0})}
    return {"rank_feature": {"field": f"{WEIGHTS}.{feature}", "linear": {}}}


def heaviest(clauses: Sequence[SparseClause], limit: int) -> tuple[tuple[SparseClause, ...], int]:
    """Keep the `limit` heaviest clauses, in order; and the number that was cut.

    >>> heaviest((SparseClause(1, "a", 0.5), SparseClause(2, "b", 2.0)), 1)
    ((SparseClause(id=2, name='b', weight=2.0),), 1)
    """
    if len(clauses) <= limit:
        return tuple(clauses), 0
    kept = sorted(clauses, key=lambda clause: (-clause.weight, clause.id))[:limit]
    return tuple(sorted(kept, key=lambda clause: clause.id)), len(clauses) - limit


def _vector(weights: Json) -> dict[str, Any]:
    return {"field": WEIGHTS, "query_vector": weights, "prune": False}
