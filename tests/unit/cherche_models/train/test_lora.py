"""Adapters leave an ordinary checkpoint behind."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cherche_models import hub
from cherche_models.losses import JointLoss
from cherche_models.train import Settings, fit, lora
from tests.unit.cherche_models.train.conftest import EXAMPLES, Load

SETTINGS = Settings(steps=3, learning_rate=1e-2, negatives=1, query_length=16, document_length=16)


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("architecture", ["colbert", "splade"])
def test_adapters_are_trained_alone_and_merged(architecture: str, load: Load, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    model = load(architecture)
    before = weights(model)
    texts = ["the brain cell"]
    with lora(model, rank=2) as size:
        fit(model, lambda _: EXAMPLES[:3], JointLoss(), SETTINGS)
        trained = model.encode(texts, "document")[0]
    after = weights(model)
    assert after.keys() == before.keys()
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    linear = [n for n in after if n.endswith(".weight") and before[n].ndim == 2 and ".layer." in n]
    assert size == sum(2 * sum(before[name].shape) for name in linear)
    assert moved == {*linear, *(name for name in after if name.startswith("projection."))}
    assert all(parameter.requires_grad for parameter in model.parameters())
    merged = model.encode(texts, "document")[0]
    _same(merged, trained)
    hub.save(model, tmp_path)
    loaded = hub.load(tmp_path, device="cpu", dtype="fp32")
    _same(loaded.encode(texts, "document")[0], merged)


def _same(one, other) -> None:
    for a, b in ((one.weights, other.weights), (one.embeddings, other.embeddings)):
        if a is not None:
            values = (a.weights, b.weights) if hasattr(a, "weights") else (a.vectors, b.vectors)
            torch.testing.assert_close(*map(torch.from_numpy, values), rtol=1e-3, atol=1e-4)
