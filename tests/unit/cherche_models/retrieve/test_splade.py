"""Retrieval by term weights of an inference-free model."""

from __future__ import annotations

import pytest
import torch

from cherche_models import retrieve
from cherche_models.models import InferenceFree, Splade
from tests import checkpoints
from tests.unit.cherche_models.retrieve.documents import NEURAL, exact


def test_queries_of_an_inference_free_model_are_looked_up(splade: Splade, monkeypatch: pytest.MonkeyPatch) -> None:
    table = torch.linspace(0.1, 2.0, len(splade.vocabulary))
    model = InferenceFree(splade.backbone, splade.tokenizer, table).eval()
    retriever = retrieve.Splade("id", "text", model).add_documents(NEURAL)
    query = " ".join(checkpoints.WORDS)
    expected = {key: score for key, score in exact(retriever, query).items() if score > 0}
    assert expected
    monkeypatch.setattr(model.backbone, "forward", lambda *_: pytest.fail("a query went through the encoder"))
    found = retriever.search(query)
    assert {hit["id"]: hit["similarity"] for hit in found} == pytest.approx(expected, rel=1e-4)
