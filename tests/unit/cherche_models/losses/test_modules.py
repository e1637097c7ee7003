"""Losses of given scores and the schedule, as modules."""

import pytest
import torch

from cherche_models.losses import Flops, FlopsScheduler, Ranking
from cherche_models.losses.modules import bounded
from tests.unit.cherche_models.losses.tensors import noise


def test_a_negative_of_minus_infinity_is_left_out() -> None:
    positives, negatives = noise(3), noise(3, 4, seed=1)
    hidden = negatives.clone()
    hidden[:, 2:] = -torch.inf
    torch.testing.assert_close(Ranking()(positives, hidden), Ranking()(positives, negatives[:, :2]))
    torch.testing.assert_close(Ranking()(positives, negatives[:, 0]), Ranking()(positives, negatives[:, :1]))


def test_a_bounded_cost_keeps_a_gradient() -> None:
    weights = torch.full((2, 4), 10.0, requires_grad=True)
    loss = Flops()(weights, weights, weights, threshold=5.0, max_flops_loss=1.0)
    loss.backward()
    assert float(loss.detach()) == 1.0
    assert bool((weights.grad > 0).all())
    assert float(bounded(torch.tensor(3.0), threshold=5.0)) == 0.0
    with pytest.raises(ValueError, match="max_flops_loss 0 is not above 0"):
        bounded(torch.tensor(3.0), most=0)


def test_compat_clips_the_distance_from_the_threshold() -> None:
    weights = torch.full((2, 4), 10.0, requires_grad=True)
    loss = Flops(compat="1.4")(weights, weights, weights)
    loss.backward()
    assert float(loss.detach()) == 1.0
    assert not weights.grad.any()
    near = torch.tensor([[5.5]])
    assert float(Flops(compat="1.4")(near, near, near)) == pytest.approx(0.25)


def test_the_schedule_ends_at_its_weight() -> None:
    scheduler = FlopsScheduler(weight=2.0, steps=3)
    assert [scheduler.get() for _ in range(3)] == pytest.approx([2 * 4 / 9, 2.0, 2.0])
    assert scheduler.weight == 2.0
