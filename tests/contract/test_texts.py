"""A field's text is found the same way here and in the plugin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.values.documents import value_at, values_within

VECTORS = json.loads((Path(__file__).parent / "texts.json").read_text(encoding="utf-8"))["vectors"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['field']} of {json.dumps(vector['source'])}")
def test_a_field_is_read_by_its_name_or_path(vector: dict[str, Any]) -> None:
    assert value_at(vector["source"], vector["field"]) == vector["value"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['field']} of {json.dumps(vector['source'])}")
def test_its_single_values_are_counted_alike(vector: dict[str, Any]) -> None:
    """Also where they come as the plugin sends them: in one list, under the field's whole name."""
    values = vector["values"]
    assert list(values_within(vector["source"], vector["field"])) == values
    assert list(values_within({vector["field"]: values}, vector["field"])) == values
