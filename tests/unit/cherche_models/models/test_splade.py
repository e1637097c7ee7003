"""SPLADE's term weights are those of its formula."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cherche_models import hub
from cherche_models.errors import ItemError
from cherche_models.models import Splade
from cherche_models.models.splade import activate
from tests import checkpoints

TEXTS = ["neural sparse search.", "the brain, of a cell", "", "protein " * 90, "[MASK] heart"]


def weights_by_hand(model: Splade, text: str) -> torch.Tensor:
    """Formal et al. 2021, eq. 2, from the logits of the whole masked-LM model."""
    (tokens,) = model.tokenize([text], "document")
    with torch.inference_mode():
        logits = model.backbone.model(input_ids=torch.tensor([tokens.ids])).logits[0]
    return torch.log1p(torch.relu(logits)).amax(dim=0)


def dense(model: Splade, encoding: object) -> np.ndarray:
    row = np.zeros(len(model.vocabulary), np.float32)
    row[encoding.weights.ids] = encoding.weights.weights
    return row


def test_splade_is_its_formula(splade: Splade) -> None:
    for text, encoding in zip(TEXTS, splade.encode(TEXTS, "document"), strict=True):
        np.testing.assert_allclose(dense(splade, encoding), weights_by_hand(splade, text).numpy(), atol=1e-5)
        assert encoding.embeddings is None


def test_weights_are_positive_and_sorted(splade: Splade) -> None:
    for encoding in splade.encode(TEXTS, "query"):
        assert (np.diff(encoding.weights.ids.astype(np.int64)) > 0).all()
        assert (encoding.weights.weights > 0).all()


def test_sum_pooling_is_the_first_splade(splade: Splade) -> None:
    model = Splade(splade.backbone, splade.tokenizer, pooling="sum")
    for text, encoding in zip(TEXTS, model.encode(TEXTS, "document"), strict=True):
        (tokens,) = model.tokenize([text], "document")
        logits = model.backbone.model(input_ids=torch.tensor([tokens.ids])).logits[0]
        expected = torch.log1p(torch.relu(logits)).sum(dim=0).detach().numpy()
        np.testing.assert_allclose(dense(model, encoding), expected, rtol=1e-4, atol=1e-4)


def test_two_logarithms(splade: Splade) -> None:
    model = Splade(splade.backbone, splade.tokenizer, activation="log1p_relu")
    (once,), (twice,) = splade.encode(TEXTS[:1], "document"), model.encode(TEXTS[:1], "document")
    np.testing.assert_allclose(twice.weights.weights, np.log1p(once.weights.weights), rtol=1e-5)
    assert activate(torch.tensor([1.0]), "log1p_relu").item() == pytest.approx(np.log1p(np.log1p(1)))


def test_a_cap_keeps_the_largest_terms(splade: Splade) -> None:
    model = Splade(splade.backbone, splade.tokenizer, replace(splade.formats["document"], terms=5))
    (capped,), (whole,) = model.encode(TEXTS[:1], "document"), splade.encode(TEXTS[:1], "document")
    assert len(capped.weights) == 5
    assert capped.weights.weights.min() == np.sort(whole.weights.weights)[-5]


def test_nan_names_the_text(tmp_path: Path) -> None:
    model = hub.load(checkpoints.masked_lm(tmp_path), device="cpu", dtype="fp32")
    decoder = model.backbone.decoder
    decoder.weight = torch.nn.Parameter(decoder.weight.detach().clone())
    with torch.no_grad():
        embeddings = model.backbone.model.get_input_embeddings().weight
        embeddings[model.tokenizer.id_of("heart")] = torch.nan
    with pytest.raises(ItemError, match="text 2 got NaN"):
        model.encode(["neural", "brain brain brain", "heart"], "document")
    assert len(model.encode(["neural", "brain"], "document")) == 2


def test_bf16_is_close(masked_lm: Path, splade: Splade) -> None:
    model = hub.load(masked_lm, device="cpu", dtype="bf16")
    for exact, rounded in zip(splade.encode(TEXTS, "document"), model.encode(TEXTS, "document"), strict=True):
        a, b = dense(splade, exact), dense(splade, rounded)
        assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.999
