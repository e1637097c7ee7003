"""Sparsity of term weights, and how its weight grows."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["flops", "quadratic"]


def flops(weights: Tensor) -> Tensor:
    """Expected multiplications of a dot product: ``sum_j (mean_i |w_ij|)^2``.

    Paria et al. 2020, "Minimizing FLOPs to Learn Efficient Sparse
    Representations", eq. 4, as SPLADE uses it. The mean is over the batch, so a
    term that every text has costs more than the same weight spread over terms.

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

    Formal et al. 2021, "SPLADE", section 3.2 (after Paria et al. 2020): ranking is
    learned before sparsity is asked for.

    Parameters
    ----------
    step : int
        From 0.
    steps : int
        After these the weight is whole; 0 for at once.

    >>> quadratic(5, 10), quadratic(20, 10), quadratic(0, 0)
    (0.25, 1.0, 1.0)
    """
    return 1.0 if step >= steps else (step / steps) ** 2
