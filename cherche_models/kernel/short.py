"""What surrounds the kernel's forward pass over short texts: their batches, and the weights and vectors that follow.

Everything here takes one text at a time or one number at a time, so that a text has the same bits beside any others,
and whoever read the weights, torch or `cherche_models.light`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Literal

import numpy as np

from cherche_models.types import Floats, Tokens, lengths

TOKENS = 256
"""Of a batch: as many as share one read of the weights to some purpose."""
_SMALLEST_LENGTH = np.float32(1e-12)
Activation = Literal["relu", "log1p_relu"]


def plan(tokens: Sequence[Tokens], most: int, budget: int = TOKENS) -> list[list[int]]:
    """Positions of the texts of each batch: those of 1 to `most` tokens, in their order.

    >>> plan([Tokens((1,) * n, ("a",) * n, n) for n in (9, 30, 0, 2, 9)], most=10, budget=12)
    [[0, 3], [4]]
    """
    batches: list[list[int]] = []
    room = 0
    for i, size in enumerate(lengths(tokens).tolist()):
        if 0 < size <= most:
            if size > room:
                batches.append([])
                room = budget
            batches[-1].append(i)
            room -= size
    return batches


def activated(logits: Floats, activation: Activation) -> Floats:
    """ReLU and log(1 + x), once or twice.

    >>> [round(w, 4) for w in activated(np.float32([-1.0, 1.7182818]), "relu").tolist()]
    [0.0, 1.0]
    """
    weights: Floats = np.log1p(np.maximum(logits, np.float32(0)))
    return np.log1p(weights) if activation == "log1p_relu" else weights


def unit_rows(hidden: Floats, sizes: Sequence[int], weight: Floats, bias: Floats | None = None) -> Floats:
    """A linear map of hidden states, each brought to length 1, shape (tokens, dim).

    Parameters
    ----------
    hidden : float32 array, shape (tokens, width)
        Of all texts, one after another.
    sizes : sequence of int
        Tokens of each text.
    weight : float32 array, shape (dim, width)
    bias : float32 array, shape (dim,), or None

    >>> unit_rows(np.float32([[0, 3]]), [1], np.eye(2, dtype=np.float32)).tolist()
    [[0.0, 1.0]]
    """
    # Text by text: the last bits of a product depend on how many rows it has.
    ends = list(accumulate(sizes))
    parts = [hidden[start:end] @ weight.T for start, end in zip([0, *ends], ends, strict=False)]
    mapped = np.concatenate(parts) if parts else np.empty((0, len(weight)), np.float32)
    if bias is not None:
        mapped += bias
    norms = np.sqrt(np.square(mapped).sum(axis=1, keepdims=True))
    rows: Floats = mapped / np.maximum(norms, _SMALLEST_LENGTH)
    return rows
