"""Hash and state are stored alike by the sidecar and by the plugin, whose tests read the same vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.engines.opensearch import bookkeeping

_VECTORS = json.loads((Path(__file__).parent / "bookkeeping.json").read_text())["vectors"]


@pytest.mark.parametrize("vector", _VECTORS, ids=lambda vector: vector["state"])
def test_vectors(vector: dict[str, Any]) -> None:
    assert bookkeeping.written(vector["hash"], vector["state"]) == vector["fields"]
