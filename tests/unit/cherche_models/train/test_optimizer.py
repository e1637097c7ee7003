"""AdamW groups weights by learning rate and decay; the moving average of weights."""

from __future__ import annotations

import pytest
import torch

from cherche_models.train import Settings
from cherche_models.train.optimizer import Average, adamw, set_rate
from tests.unit.cherche_models.train.conftest import Load


def test_an_average_is_between_its_values() -> None:
    layer = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    average = Average(layer, keep=0.5)
    with torch.no_grad():
        layer.weight.fill_(2.0)
    average.move()
    assert float(average.values["weight"]) == pytest.approx(1.9)
    with average.in_place():
        assert float(layer.weight.detach()) == pytest.approx(1.9)
    assert float(layer.weight.detach()) == 2.0


def test_each_kind_of_weight_has_its_rate_and_decay(load: Load) -> None:
    model = load("colbert")
    optimizer = adamw(model, Settings(steps=1, head_rate=3.0, word_rate=0.5, weight_decay=0.1))
    set_rate(optimizer, 0.01)
    found = {id(p): (group["lr"], group["weight_decay"]) for group in optimizer.param_groups for p in group["params"]}
    layer = model.backbone.model.base_model.encoder.layer[0].output
    assert found[id(model.projection.linear.weight)] == (0.03, 0.1)
    assert found[id(model.backbone.model.get_input_embeddings().weight)] == (0.005, 0.1)
    assert found[id(layer.dense.weight)] == (0.01, 0.1)
    assert found[id(layer.LayerNorm.weight)] == (0.01, 0.0)


def test_a_frozen_model_is_refused(load: Load) -> None:
    model = load("colbert")
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="every weight is frozen"):
        adamw(model, Settings(steps=1))
