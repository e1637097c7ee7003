"""What a differentiable forward pass of any model gives."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Output(NamedTuple):
    """What a differentiable forward pass gives; None where the model has no such head.

    Attributes
    ----------
    weights : Tensor, shape (batch, vocabulary)
    embeddings : Tensor, shape (batch, rows, dim)
    mask : bool Tensor, shape (batch, rows)
        Which rows of `embeddings` count.
    terms : int64 Tensor, shape (batch, rows)
        Vocabulary id of each row, where rows belong to terms and not to tokens.
    """

    weights: Tensor | None = None
    embeddings: Tensor | None = None
    mask: Tensor | None = None
    terms: Tensor | None = None
