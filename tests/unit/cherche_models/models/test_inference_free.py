"""Inference-free SPLADE: queries by a table."""

from __future__ import annotations

import pytest
import torch

from cherche_models.backbone import Backbone
from cherche_models.models import InferenceFree, Splade


def test_inference_free_queries_need_no_pass(splade: Splade, monkeypatch: pytest.MonkeyPatch) -> None:
    table = torch.zeros(len(splade.vocabulary))
    neural, search = (splade.tokenizer.id_of(word) for word in ("neural", "search"))
    table[neural], table[search] = 2.5, 1.5
    model = InferenceFree(splade.backbone, splade.tokenizer, table)
    assert model.encode(["cell"], "document")[0].weights == splade.encode(["cell"], "document")[0].weights
    monkeypatch.setattr(Backbone, "forward", None)
    (encoding,) = model.encode(["search neural neural cell"], "query")
    assert dict(encoding.weights.items()) == {neural: 2.5, search: 1.5}
    assert model.idf(model.tokenize(["neural"], "query")[0]) == {neural: 2.5}
    assert splade.idf(model.tokenize(["neural"], "query")[0]) is None
    tokens = model.tokenize(["search neural neural", "cell"], "query")
    output = model(*model.collate(tokens, "query"), "query")
    assert output.weights[0].nonzero().flatten().tolist() == sorted([neural, search])
    assert output.weights[0, neural].item() == 2.5


def test_a_table_of_another_vocabulary(splade: Splade) -> None:
    with pytest.raises(ValueError, match="the vocabulary"):
        InferenceFree(splade.backbone, splade.tokenizer, torch.zeros(3))
