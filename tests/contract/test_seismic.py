"""Weights for neural-search's Seismic are written and asked for as its documentation has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.engines.opensearch.bulk import item
from sidecar.engines.opensearch.mapping import creation
from sidecar.engines.opensearch.query import search_body
from sidecar.values.documents import SEISMIC, StoredDocument
from sidecar.values.first_stage import Query, SparseClause
from sidecar.values.index import Fingerprint, IndexMeta, TextField

CONTRACT = json.loads(Path(__file__).with_name("seismic.json").read_text(encoding="utf-8"))
META = IndexMeta("m", Fingerprint("s"), (TextField("title"),), 64, naming="id", weights=SEISMIC)
CLAUSES = (SparseClause(7592, "7592", 2.0), SparseClause(1012, "1012", 0.25))


def test_an_index() -> None:
    body: Any = creation("a", META, lean_recovery=False).body
    assert body["settings"] == CONTRACT["settings"]
    found = body["mappings"]["properties"]["cherche_weights"]
    assert found == CONTRACT["field"]
    assert set(found["method"]) <= set(CONTRACT["parameters"]["method"])
    assert set(found["method"]["parameters"]) <= set(CONTRACT["parameters"]["method.parameters"])


def test_a_document_has_decimal_ids_of_the_vocabulary_and_their_weights() -> None:
    document = StoredDocument("1", {"title": "run"}, features={"1012": 0.25, "7592": 1.5})
    written = json.loads(item(0, document).lines.splitlines()[1])
    assert {key: written[key] for key in CONTRACT["document"]} == CONTRACT["document"]


@pytest.mark.parametrize("vector", CONTRACT["queries"], ids=lambda vector: vector["name"])
def test_a_query(vector: Any) -> None:
    query = Query(
        "run it", "hybrid", META.fields, clauses=CLAUSES, sparse_boost=0.75, weights=SEISMIC, **vector["given"]
    )
    assert search_body(query, CLAUSES)["query"] == vector["query"]
    [sparse] = [one for one in vector["query"]["bool"]["should"] if "function_score" in one]
    [(field, asked)] = sparse["function_score"]["query"]["neural_sparse"].items()
    assert field == "cherche_weights"
    assert set(asked) <= set(CONTRACT["parameters"]["query"])
    assert set(asked["method_parameters"]) <= set(CONTRACT["parameters"]["method_parameters"])
