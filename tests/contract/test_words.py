"""Which queries have nothing to look for: the same in the sidecar and in the plugin."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sidecar.pipeline.text import has_words

VECTORS = json.loads((Path(__file__).parent / "words.json").read_text(encoding="utf-8"))["vectors"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: ascii(vector["text"]))
def test_a_query_has_words_or_finds_nothing_of_its_own(vector: dict[str, object]) -> None:
    assert has_words(str(vector["text"])) is vector["has_words"]
