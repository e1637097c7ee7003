"""The JSON under opensearch/mappings is what setup sends."""

from __future__ import annotations

from pathlib import Path

from sidecar.engines.opensearch.generate import mappings, written

FOLDER = Path(__file__).parents[2] / "opensearch" / "mappings"


def test_mappings_are_fresh() -> None:
    expected = {name: written(content) for name, content in mappings().items()}
    assert {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")} == expected
