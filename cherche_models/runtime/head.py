"""The largest logit of each vocabulary term over a text's tokens.

The bias, ReLU and ``log(1 + x)`` grow with the logit, so the maximum over
tokens may be taken first: no (batch, length, vocabulary) tensor is needed.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

VOCABULARY_CHUNK = 2048


class _Context(Protocol):
    """What torch hands to both passes."""

    @property
    def saved_tensors(self) -> tuple[Tensor, ...]: ...

    def save_for_backward(self, *tensors: Tensor) -> None: ...


def hide_padding(hidden: Tensor, mask: Tensor) -> Tensor:
    """Repeat each text's first token over its padding.

    A repeated token changes no maximum, so the logits of padding need no −inf
    afterwards: exact, and one pass over the logits less.

    Parameters
    ----------
    hidden : Tensor, shape (batch, length, hidden)
    mask : bool Tensor, shape (batch, length)
        The first column is True.
    """
    return torch.where(mask.unsqueeze(-1), hidden, hidden[:, :1])


def max_logits(hidden: Tensor, decoder: Tensor, chunk: int = VOCABULARY_CHUNK) -> Tensor:
    """Maximum over tokens of the logits, before the bias; differentiable.

    Parameters
    ----------
    hidden : Tensor, shape (batch, length, hidden)
        Transformed hidden states, padding hidden.
    decoder : Tensor, shape (vocabulary, hidden)
    chunk : int
        Vocabulary rows multiplied at once; memory is batch x length x chunk.

    Returns
    -------
    Tensor, shape (batch, vocabulary)

    >>> max_logits(torch.tensor([[[1.0], [3.0]]]), torch.tensor([[2.0], [-1.0]])).tolist()
    [[6.0, -1.0]]
    """
    if torch.is_grad_enabled() and (hidden.requires_grad or decoder.requires_grad):
        best: Tensor = _MaxLogits.apply(hidden, decoder, chunk)
        return best
    batch, length, width = hidden.shape
    flat = hidden.reshape(-1, width)
    best = hidden.new_empty(batch, decoder.shape[0])
    for start in range(0, decoder.shape[0], chunk):
        rows = decoder[start : start + chunk]
        logits = (flat @ rows.T).view(batch, length, rows.shape[0])
        best[:, start : start + chunk] = logits.amax(dim=1)
    return best


class _MaxLogits(torch.autograd.Function):
    """Keeps one token position per (text, term) instead of all logits.

    Most terms get no gradient, because ReLU cut them: the backward pass visits
    only those that do.
    """

    @staticmethod
    def forward(ctx: _Context, hidden: Tensor, decoder: Tensor, chunk: int) -> Tensor:
        batch, vocabulary = hidden.shape[0], decoder.shape[0]
        best = hidden.new_empty(batch, vocabulary)
        at = torch.empty(batch, vocabulary, dtype=torch.long, device=hidden.device)
        for start in range(0, vocabulary, chunk):
            values, positions = (hidden @ decoder[start : start + chunk].T).max(dim=1)
            best[:, start : start + chunk] = values
            at[:, start : start + chunk] = positions
        ctx.save_for_backward(hidden, decoder, at)
        return best

    @staticmethod
    @once_differentiable
    def backward(ctx: _Context, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        hidden, decoder, at = ctx.saved_tensors
        texts, terms = gradient.nonzero(as_tuple=True)
        values = gradient[texts, terms].unsqueeze(-1).to(hidden.dtype)
        rows = texts * hidden.shape[1] + at[texts, terms]
        flat = hidden.reshape(-1, hidden.shape[2])
        to_hidden = torch.zeros_like(flat).index_add_(0, rows, values * decoder[terms])
        to_decoder = torch.zeros_like(decoder).index_add_(0, terms, values * flat[rows])
        return to_hidden.view_as(hidden), to_decoder, None
