"""The cost of a run is measured without changing the model."""

from __future__ import annotations

import torch

from cherche_models.losses import JointLoss
from cherche_models.train import Settings, stream
from cherche_models.train.plan import cost
from cherche_models.train.processes import Processes
from tests.unit.cherche_models.train.conftest import EXAMPLES, Load


def test_the_plan_costs_nothing_but_time(load: Load) -> None:
    model = load("joint", dropout=True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    batches = stream.shuffled(EXAMPLES, 3, 0)
    times = iter(range(100))
    found = cost(
        model, batches, JointLoss(), Settings(steps=99, accumulate=2, ema=0.9), None, Processes(), lambda: next(times)
    )
    assert found.seconds_per_step == 1.0
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    assert all(parameter.grad is None for parameter in model.parameters())
