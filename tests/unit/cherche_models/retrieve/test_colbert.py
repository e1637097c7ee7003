"""Exact MaxSim in blocks."""

from __future__ import annotations

import pytest

from cherche_models import retrieve
from cherche_models.models import Joint
from cherche_models.retrieve import colbert as colbert_module
from tests.unit.cherche_models.retrieve.documents import NEURAL, QUERIES


def test_documents_may_lie_in_several_blocks(joint: Joint, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = retrieve.ColBERT("id", "text", joint).add_documents(NEURAL)
    expected = whole.search(QUERIES)
    monkeypatch.setattr(colbert_module, "BLOCK", 9)
    parts = retrieve.ColBERT("id", "text", joint).add_documents(NEURAL)
    found = parts.search(QUERIES)
    assert len(parts._blocks) > 1
    for hits, wanted in zip(found, expected, strict=True):
        assert [hit["id"] for hit in hits] == [hit["id"] for hit in wanted]
        assert [h["similarity"] for h in hits] == pytest.approx([h["similarity"] for h in wanted], rel=1e-5)
