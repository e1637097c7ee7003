"""FLOPS, DF-FLOPS and the schedule of their weight."""

import pytest
import torch

from cherche_models.losses import df_flops, df_weights, flops, quadratic
from tests.unit.cherche_models.losses.tensors import noise


def test_flops_is_the_square_of_the_mean_not_the_mean_of_squares():
    weights = torch.tensor([[3.0, 0.0], [1.0, 0.0]], requires_grad=True)
    loss = flops(weights)
    loss.backward()
    assert float(loss.detach()) == 4.0
    assert weights.grad.tolist() == [[2.0, 0.0], [2.0, 0.0]]


@pytest.mark.parametrize("size", [0.1, 1.0, 100.0])
def test_flops_pushes_at_every_size(size):
    weights = torch.full((4, 8), size, requires_grad=True)
    flops(weights).backward()
    assert bool((weights.grad > 0).all())


def test_the_schedule_is_quadratic_and_stops_at_one():
    assert [quadratic(step, 4) for step in range(6)] == [0.0, 1 / 16, 1 / 4, 9 / 16, 1.0, 1.0]


def test_df_flops_is_flops_where_every_document_has_every_term():
    weights = noise(4, 7).abs()
    torch.testing.assert_close(df_flops(weights, torch.ones(7)), flops(weights))
    assert float(df_flops(weights, torch.zeros(7))) == 0.0
    rising = df_weights(torch.linspace(0, 1, 50))
    assert bool((rising[1:] >= rising[:-1]).all())
