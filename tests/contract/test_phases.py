"""When few terms find candidates that all of them score: the same in the sidecar and in the plugin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.pipeline.match_set import Membership
from sidecar.pipeline.phases import Phases, decide
from sidecar.values.index import Fingerprint, IndexMeta, TextField
from sidecar.values.search import SearchRequest

TABLE = json.loads((Path(__file__).parent / "phases.json").read_text(encoding="utf-8"))
VECTORS = [vector for vector in TABLE["vectors"] if vector.get("only") != "plugin"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_phases_of_a_search_are_decided_as_in_the_table(vector: dict[str, Any]) -> None:
    size, offset = vector.get("size", 10), vector.get("from", 0)
    request = SearchRequest("books", "fox", body=vector["body"], size=size, **vector.get("request", {}))
    meta = IndexMeta("m", Fingerprint("s"), (TextField("text"),), 8, first_terms=vector.get("index", 12))
    membership = Membership("fox", vector.get("match_set", "union"), "")
    found = decide(request, meta, membership, window=vector.get("window", 0), deepest=offset + size, several=False)
    assert found == Phases(vector["terms"], vector["candidates"], vector["reason"])
