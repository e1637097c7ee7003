"""The largest logit of each vocabulary term over a text's tokens.

``bias``, ReLU and ``log(1 + x)`` grow with the logit, so the maximum over
tokens may be taken first: no (batch, length, vocabulary) tensor is needed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

VOCABULARY_CHUNK = 2048


def max_logits(hidden: Tensor, mask: Tensor, decoder: Tensor, chunk: int = VOCABULARY_CHUNK) -> Tensor:
    """Differentiable maximum over tokens, before the bias.

    Parameters
    ----------
    hidden : Tensor, shape (batch, length, hidden)
        Transformed hidden states.
    mask : bool Tensor, shape (batch, length)
        False for padding; every text needs one True.
    decoder : Tensor, shape (vocabulary, hidden)
    chunk : int
        Vocabulary rows multiplied at once.

    Returns
    -------
    Tensor, shape (batch, vocabulary)
    """
    result: Tensor = _MaxLogits.apply(hidden, mask, decoder, chunk)
    return result


class _MaxLogits(torch.autograd.Function):
    """Keeps one token position per (text, term) instead of all logits.

    Most terms get no gradient, because ReLU cut them: the backward pass visits
    only those that do.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, mask: Tensor, decoder: Tensor, chunk: int) -> Tensor:
        batch, vocabulary = hidden.shape[0], decoder.shape[0]
        best = hidden.new_empty(batch, vocabulary)
        at = torch.empty(batch, vocabulary, dtype=torch.long, device=hidden.device)
        pads = ~mask.unsqueeze(-1)
        for start in range(0, vocabulary, chunk):
            logits = hidden @ decoder[start : start + chunk].T
            values, positions = logits.masked_fill_(pads, -torch.inf).max(dim=1)
            best[:, start : start + chunk] = values
            at[:, start : start + chunk] = positions
        ctx.save_for_backward(hidden, decoder, at)
        return best

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        hidden, decoder, at = ctx.saved_tensors
        texts, terms = gradients[0].nonzero(as_tuple=True)
        values = gradients[0][texts, terms].unsqueeze(-1).to(hidden.dtype)
        rows = texts * hidden.shape[1] + at[texts, terms]
        flat = hidden.reshape(-1, hidden.shape[2])
        to_hidden = torch.zeros_like(flat).index_add_(0, rows, values * decoder[terms])
        to_decoder = torch.zeros_like(decoder).index_add_(0, terms, values * flat[rows])
        return to_hidden.view_as(hidden), None, to_decoder, None
