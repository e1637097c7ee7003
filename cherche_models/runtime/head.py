"""The largest logit of each vocabulary term over a text's tokens.

The bias, ReLU and ``log(1 + x)`` are monotonic, so the maximum over tokens can be
taken first, without a (batch, length, vocabulary) tensor.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

VOCABULARY_CHUNK = 2048


class _Context(Protocol):
    """The context of `torch.autograd.Function`."""

    @property
    def saved_tensors(self) -> tuple[Tensor, ...]: ...
    @property
    def needs_input_grad(self) -> tuple[bool, ...]: ...

    def save_for_backward(self, *tensors: Tensor) -> None: ...


def hide_padding(hidden: Tensor, mask: Tensor) -> Tensor:
    """Replace padding by each text's first token.

    A repeated token does not change the maximum, so the logits of padding need not be
    set to −inf, which saves a pass over the logits.

    Parameters
    ----------
    hidden : Tensor, shape (batch, length, hidden)
    mask : bool Tensor, shape (batch, length)
        The first column is True.
    """
    return torch.where(mask.unsqueeze(-1), hidden, hidden[:, :1])


def max_logits(hidden: Tensor, decoder: Tensor, chunk: int = VOCABULARY_CHUNK) -> Tensor:
    """Maximum of the logits over tokens, before the bias; differentiable.

    Parameters
    ----------
    hidden : Tensor, shape (batch, length, hidden)
        Transformed hidden states, after `hide_padding`.
    decoder : Tensor, shape (vocabulary, hidden)
    chunk : int
        Vocabulary rows multiplied at once; memory is batch x length x chunk. With
        gradients, texts are multiplied one by one: memory is length x vocabulary.

    Returns
    -------
    Tensor, shape (batch, vocabulary)

    >>> max_logits(torch.tensor([[[1.0], [3.0]]]), torch.tensor([[2.0], [-1.0]])).tolist()
    [[6.0, -1.0]]
    """
    if torch.is_grad_enabled() and (hidden.requires_grad or decoder.requires_grad):
        best: Tensor = _MaxLogits.apply(hidden, decoder)
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
    """Stores no logits; the backward pass recomputes them for terms with a gradient.

    Most terms have no gradient because of ReLU, so recomputing the others, text by
    text, is cheap. One text's product fits the CPU cache. Under autocast, the product
    has the autocast dtype.
    """

    @staticmethod
    def forward(ctx: _Context, hidden: Tensor, decoder: Tensor) -> Tensor:
        best = torch.stack([(text @ decoder.T).amax(dim=0) for text in hidden])
        ctx.save_for_backward(hidden, decoder)
        return best

    @staticmethod
    @once_differentiable
    def backward(ctx: _Context, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
        hidden, decoder = ctx.saved_tensors
        to_hidden = torch.zeros_like(hidden)
        to_decoder = torch.zeros_like(decoder) if ctx.needs_input_grad[1] else None
        for text, own, row in zip(hidden, to_hidden, gradient, strict=True):
            terms = row.nonzero().squeeze(1)
            used = decoder[terms]
            at = (text.to(used.dtype) @ used.T).argmax(dim=0)
            values = row[terms].unsqueeze(-1)
            own.index_add_(0, at, (values * used).to(own.dtype))
            if to_decoder is not None:
                to_decoder.index_add_(0, terms, (values * text[at]).to(to_decoder.dtype))
        return to_hidden, to_decoder
