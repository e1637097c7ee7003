"""The sparse clauses that Python and the plugin share are what the sidecar writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.values.clauses import SPARSE, sparse_clause
from sidecar.values.first_stage import SparseClause

CONTRACT = json.loads(Path(__file__).with_name("clauses.json").read_text())


@pytest.mark.parametrize("vector", CONTRACT["vectors"], ids=lambda vector: vector["name"])
def test_the_boost_is_part_of_each_weight(vector: Any) -> None:
    clauses = [SparseClause(n, term["feature"], term["weight"]) for n, term in enumerate(vector["terms"])]
    assert sparse_clause(clauses, vector["boost"]) == {"bool": {**vector["clause"]["bool"], "_name": SPARSE}}
