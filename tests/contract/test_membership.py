"""Which text is encoded, and which clause decides the hits: the same in the sidecar and in the plugin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.engines.opensearch.query import search_body
from sidecar.pipeline.match_set import decide
from sidecar.values.clauses import weighted_sum
from sidecar.values.documents import RANK_FEATURES
from sidecar.values.first_stage import Query, SparseClause
from sidecar.values.index import TextField

TABLE = json.loads((Path(__file__).parent / "membership.json").read_text(encoding="utf-8"))
VECTORS = [vector for vector in TABLE["vectors"] if vector.get("only") != "plugin"]
CLAUSES = (SparseClause(1, "fox", 1.0),)


def encoded(vector: dict[str, Any]) -> list[str]:
    return list(vector.get("encoded", TABLE["encoded"]))


def named(vector: dict[str, Any]) -> str:
    return str(vector.get("named", ""))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_search_is_decided_as_in_the_table(vector: dict[str, Any]) -> None:
    found = decide(vector["body"], encoded(vector), vector.get("pin", "auto"), named(vector))
    assert (found.text, found.match_set, found.reason) == (vector["text"], vector["match_set"], vector["reason"])


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_search_is_rewritten_as_in_the_table(vector: dict[str, Any]) -> None:
    hybrid = vector["match_set"] != "none"
    query = Query(
        vector["text"],
        "hybrid" if hybrid else "bm25",
        tuple(TextField(name) for name in encoded(vector)),
        vector["match_set"],
        CLAUSES if hybrid else (),
        body=vector["body"],
    )
    body = search_body(query, query.clauses)
    given = vector["body"].get("query")
    assert _named(body.get("query", "$absent"), given) == vector["rewritten"]
    has_limit = "min_score" in vector["body"] and vector["match_set"] == "union"
    assert ("min_score" in body) is has_limit


def _named(value: Any, given: Any) -> Any:
    """The rewritten query with both parts as the table names them."""
    if isinstance(value, dict):
        name = value.get("bool", {}).get("_name", "")
        if name == "cherche_sparse" or value == weighted_sum(CLAUSES, 1.0, RANK_FEATURES):
            return "$sparse"
        if name == "cherche_lexical":
            return _named(value["bool"]["must"][0], given)
        if value == given or (given is None and "multi_match" in value):
            return "$query"
        return {key: _named(inner, given) for key, inner in value.items()}
    return [_named(inner, given) for inner in value] if isinstance(value, list) else value
