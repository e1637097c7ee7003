"""Sparsity regularisers of term weights and their schedules."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

Schedule = Literal["quadratic", "linear", "constant"]

__all__ = ["Schedule", "df_flops", "df_weights", "flops", "l1", "quadratic", "ramp"]


def flops(weights: Tensor) -> Tensor:
    """Expected multiplications of a dot product: ``sum_j (mean_i |w_ij|)^2``.

    Paria et al. 2020, "Minimizing FLOPs to Learn Efficient Sparse
    Representations", eq. 4, as SPLADE uses it. The mean is over the batch, so a
    term in every text costs more than the same weight spread over several terms.

    Parameters
    ----------
    weights : Tensor, shape (batch, vocabulary)

    Returns
    -------
    Tensor, scalar

    >>> float(flops(torch.tensor([[1.0, 0.0], [3.0, 2.0]])))
    5.0
    """
    return torch.sum(weights.abs().mean(dim=0) ** 2)


def quadratic(step: int, steps: int) -> float:
    """Share of a regulariser's final weight: ``min(1, (step / steps)^2)``.

    Formal et al. 2021, "SPLADE", section 3.2 (after Paria et al. 2020): the model
    learns to rank before it learns sparsity.

    Parameters
    ----------
    step : int
        From 0.
    steps : int
        Steps until the full weight; 0 for the full weight from the start.

    >>> quadratic(5, 10), quadratic(20, 10), quadratic(0, 0)
    (0.25, 1.0, 1.0)
    """
    return 1.0 if step >= steps else (step / steps) ** 2


def ramp(schedule: Schedule, step: int, steps: int) -> float:
    """Share of a regulariser's final weight at a step; `steps` as in `quadratic`.

    >>> ramp("linear", 5, 10), ramp("quadratic", 5, 10), ramp("constant", 0, 10)
    (0.5, 0.25, 1.0)
    """
    if schedule == "constant" or step >= steps:
        return 1.0
    return step / steps if schedule == "linear" else quadratic(step, steps)


def l1(weights: Tensor) -> Tensor:
    """Mean of the texts' L1 norms.

    Parameters
    ----------
    weights : Tensor, shape (batch, vocabulary)

    Returns
    -------
    Tensor, scalar

    >>> float(l1(torch.tensor([[1.0, 0.0], [3.0, 2.0]])))
    3.0
    """
    return weights.abs().sum(dim=1).mean()


def df_weights(frequencies: Tensor, alpha: float = 0.1, beta: float = 10.0) -> Tensor:
    """Cost factor of each term: almost 0 for rare terms, 1 for terms in all documents.

    Porco et al. 2025, "An Alternative to FLOPS Regularization to Effectively
    Productionize SPLADE-Doc" (arXiv 2505.15070), section 3:
    ``1 / (1 + (x^(log_alpha 2) - 1)^beta)``.

    Parameters
    ----------
    frequencies : Tensor, shape (vocabulary,)
        Document frequency as a share, 0 to 1.
    alpha : float
        Document frequency at which the factor is 0.5.
    beta : float
        Steepness.

    Returns
    -------
    Tensor, shape (vocabulary,)

    >>> [round(w, 4) for w in df_weights(torch.tensor([0.0, 0.05, 0.1, 1.0])).tolist()]
    [0.0, 0.0216, 0.5, 1.0]
    """
    power = frequencies.clamp(min=1e-9).double() ** math.log(2.0, alpha)
    return (1.0 / (1.0 + (power - 1.0).clamp(min=0.0) ** beta)).to(frequencies.dtype)


def df_flops(weights: Tensor, frequencies: Tensor, alpha: float = 0.1, beta: float = 10.0) -> Tensor:
    """FLOPS with each term's mean weighted by `df_weights`: ``sum_j (c_j mean_i |w_ij|)^2``.

    FLOPS makes each text sparse; DF-FLOPS keeps posting lists short (Porco et al. 2025).

    Parameters
    ----------
    weights : Tensor, shape (batch, vocabulary)
    frequencies : Tensor, shape (vocabulary,)
        As in `df_weights`, as are `alpha` and `beta`.

    Returns
    -------
    Tensor, scalar

    >>> float(df_flops(torch.tensor([[1.0, 0.0], [3.0, 2.0]]), torch.tensor([1.0, 0.0])))
    4.0
    """
    return torch.sum((df_weights(frequencies, alpha, beta) * weights.abs().mean(dim=0)) ** 2)
