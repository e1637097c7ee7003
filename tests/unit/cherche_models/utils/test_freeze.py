"""Frozen layers are layers of the encoder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cherche_models import hub
from cherche_models.losses import JointLoss
from cherche_models.models import Model
from cherche_models.train import Settings, fit
from cherche_models.utils.freeze import freeze, layers
from tests.unit.cherche_models.train.conftest import EXAMPLES

SETTINGS = Settings(steps=3, learning_rate=1e-2, negatives=1, query_length=16, document_length=16)


def load(folder: Path, architecture: str) -> Model:
    head = {} if architecture == "splade" else {"new_head": True, "dim": 8}
    return hub.load(folder, device="cpu", dtype="fp32", architecture=architecture, **head)


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("keep", [0, 1, 2])
def test_the_last_layers_alone_move(keep: int, masked_lm: Path) -> None:
    model = load(masked_lm, "colbert")
    freeze(model, keep)
    before = weights(model)
    fit(model, lambda _: EXAMPLES[:3], JointLoss(), SETTINGS)
    moved = {name for name, value in weights(model).items() if not torch.equal(value, before[name])}
    assert "projection.linear.weight" in moved
    assert {i for i in range(2) if any(f"layer.{i}." in name for name in moved)} == set(range(2 - keep, 2))
    assert not any("embeddings" in name for name in moved)


def test_a_tied_decoder_is_frozen_with_the_words_and_the_head_above_is_not(masked_lm: Path) -> None:
    model = load(masked_lm, "splade")
    freeze(model, 0)
    before = weights(model)
    fit(model, lambda _: EXAMPLES[:3], JointLoss(), SETTINGS)
    moved = {name for name, value in weights(model).items() if not torch.equal(value, before[name])}
    assert moved
    assert all(".cls.predictions." in name for name in moved)


def test_more_layers_than_there_are_is_an_error(masked_lm: Path) -> None:
    with pytest.raises(ValueError, match="last 3 of 2 layers: give a number from 0 to 2"):
        freeze(load(masked_lm, "colbert"), 3)
    assert len(layers(load(masked_lm, "splade"))) == 2
