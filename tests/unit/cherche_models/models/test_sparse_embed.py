"""SparseEmbed's vectors are those of its formula."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cherche_models.models import SparseEmbed, Splade

TEXTS = ["neural sparse search.", "the brain, of a cell", "", "protein " * 90, "[MASK] heart"]


@pytest.mark.parametrize("attention", ["tokens", "terms"])
def test_sparse_embed_is_its_formula(splade: Splade, attention: str) -> None:
    style = replace(splade.formats["document"], terms=6)
    model = SparseEmbed(splade.backbone, splade.tokenizer, style, style, dim=8, attention=attention)
    (encoding,) = model.encode([TEXTS[0]], "document")
    (tokens,) = model.tokenize([TEXTS[0]], "document")
    with torch.inference_mode():
        whole = model.backbone.model(input_ids=torch.tensor([tokens.ids]), output_hidden_states=True)
        weights = torch.log1p(torch.relu(whole.logits[0])).amax(dim=0)
        terms = weights.topk(6).indices.sort().values
        scores = whole.logits[0][:, terms].softmax(dim=0 if attention == "tokens" else 1)
        vectors = torch.relu(model.linear(scores.T @ whole.hidden_states[-1][0]))
    assert encoding.weights.ids.tolist() == terms.tolist()
    np.testing.assert_allclose(encoding.weights.weights, weights[terms].numpy(), rtol=1e-4)
    np.testing.assert_allclose(encoding.embeddings.vectors, vectors.numpy(), rtol=1e-4, atol=1e-5)


def test_sparse_embed_batches_and_learns(splade: Splade) -> None:
    model = SparseEmbed(splade.backbone, splade.tokenizer, dim=8)
    together = model.encode(TEXTS, "query")
    for text, encoding in zip(TEXTS, together, strict=True):
        (alone,) = model.encode([text], "query")
        assert alone.weights.ids.tolist() == encoding.weights.ids.tolist()
        np.testing.assert_allclose(alone.embeddings.vectors, encoding.embeddings.vectors, atol=1e-4)
    output = model(*model.collate(model.tokenize(TEXTS, "query"), "query"), "query")
    output.embeddings[output.mask].sum().backward()
    assert bool(model.linear.weight.grad.abs().sum() > 0)
