"""A forward pass over texts of different lengths without padding, on a CPU.

The tokens of all texts lie one after another. Whatever works token by token takes them as they are, in products high
enough to be fast; attention takes texts of equal length together, so that no text sees another's tokens or padding.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from cherche_models.backbone import Backbone

_Parts: TypeAlias = Any
"""A transformers encoder or one of its layers, whose sub-modules are named differently in each family."""
_ROBERTA = frozenset({"roberta", "xlm-roberta", "camembert"})
_BERT = frozenset({"bert"}) | _ROBERTA
_DISTILBERT = frozenset({"distilbert"})
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 5e-2}
"""Of a hidden state, as a share of the largest: what two ways to compute it may differ by."""
_TRIAL = (3, 3, 2, 19)


class Run(NamedTuple):
    """Neighbouring texts of equal length: their first token, how many they are, and their length."""

    start: int
    texts: int
    length: int


def runs(lengths: Sequence[int]) -> list[Run]:
    """The texts in their order, those of equal length that lie together as one.

    >>> runs([5, 5, 2])
    [Run(start=0, texts=2, length=5), Run(start=10, texts=1, length=2)]
    """
    found, start = [], 0
    for length, equal in itertools.groupby(lengths):
        found.append(Run(start, len(list(equal)), length))
        start += found[-1].texts * length
    return found


def segment_max(values: Tensor, lengths: Sequence[Run]) -> Tensor:
    """The maximum of each column over the tokens of each text.

    Parameters
    ----------
    values : Tensor, shape (tokens, columns)
    lengths : sequence of Run
        Of texts that have tokens.

    Returns
    -------
    Tensor, shape (texts, columns)

    >>> segment_max(torch.tensor([[1, 4], [3, 0], [2, 2]]), runs([2, 1])).tolist()
    [[3, 4], [2, 2]]
    """
    parts = [
        values[run.start : run.start + run.texts * run.length].view(run.texts, run.length, -1).amax(dim=1)
        for run in lengths
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def hidden_states(backbone: Backbone, input_ids: Tensor, lengths: Sequence[int]) -> Tensor:
    """Last hidden states of texts that attend to all of their own tokens.

    Parameters
    ----------
    backbone : Backbone
        One that `is_known`, in eval mode.
    input_ids : int64 Tensor, shape (tokens,)
        Of all texts, one after another.
    lengths : sequence of int
        Tokens of each text.

    Returns
    -------
    Tensor, shape (tokens, hidden)
    """
    encoder: _Parts = backbone.model.base_model
    layout = _layout(backbone)
    together = runs(lengths)
    places = torch.from_numpy(np.concatenate([np.arange(length) for length in lengths]))
    hidden = _embed(encoder.embeddings, input_ids, places + layout.first_position)
    for layer in layout.layers(encoder):
        queries, keys, values = (project(hidden) for project in layer.projections)
        hidden = layer.after(_attend(queries, keys, values, layout.heads, together), hidden)
    return hidden


def is_known(backbone: Backbone) -> bool:
    """Whether `hidden_states` agrees with the encoder's own forward pass, tried on a few texts of different lengths."""
    dtype, config = backbone.dtype, backbone.model.config
    if dtype not in TOLERANCE or config.model_type not in _BERT | _DISTILBERT:
        return False
    total = sum(_TRIAL)
    ids = torch.arange(total) * 7919 % min(backbone.tokens, 30_000)
    lengths = [min(length, backbone.max_length) for length in _TRIAL]
    # Padding has another position in RoBERTa.
    ids = ids[: sum(lengths)].clamp(min=int(config.pad_token_id or 0) + 1)
    with torch.inference_mode():
        try:
            ours = hidden_states(backbone, ids, lengths)
        except (AttributeError, RuntimeError, TypeError):
            return False  # sub-modules of other names, or with other arguments
        own = torch.cat([backbone(text[None], torch.ones_like(text[None]))[0] for text in torch.split(ids, lengths)])
    largest = float(own.abs().max())
    return bool((ours - own).abs().max() <= TOLERANCE[dtype] * max(1.0, largest))


class _Layer(NamedTuple):
    """One layer: its three projections, and what follows attention, given its output and the layer's input."""

    projections: tuple[nn.Module, nn.Module, nn.Module]
    after: Callable[[Tensor, Tensor], Tensor]


def _after_bert(layer: _Parts, context: Tensor, hidden: Tensor) -> Tensor:
    attended = layer.attention.output(context, hidden)
    out: Tensor = layer.output(layer.intermediate(attended), attended)
    return out


def _after_distilbert(layer: _Parts, context: Tensor, hidden: Tensor) -> Tensor:
    attended = layer.sa_layer_norm(layer.attention.out_lin(context) + hidden)
    out: Tensor = layer.output_layer_norm(layer.ffn(attended) + attended)
    return out


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a family arranges its encoder."""

    heads: int
    first_position: int
    is_distilbert: bool

    def layers(self, encoder: _Parts) -> Iterator[_Layer]:
        if self.is_distilbert:
            for layer in encoder.transformer.layer:
                own = layer.attention
                yield _Layer((own.q_lin, own.k_lin, own.v_lin), partial(_after_distilbert, layer))
        else:
            for layer in encoder.encoder.layer:
                own = layer.attention.self
                yield _Layer((own.query, own.key, own.value), partial(_after_bert, layer))


def _layout(backbone: Backbone) -> _Layout:
    config = backbone.model.config
    first = int(config.pad_token_id or 0) + 1 if config.model_type in _ROBERTA else 0
    return _Layout(int(config.num_attention_heads), first, config.model_type in _DISTILBERT)


def _embed(embeddings: _Parts, input_ids: Tensor, positions: Tensor) -> Tensor:
    tokens = embeddings.word_embeddings(input_ids)
    types = getattr(embeddings, "token_type_embeddings", None)
    tokens = tokens if types is None else tokens + types.weight[0]
    embedded: Tensor = embeddings.LayerNorm(tokens + embeddings.position_embeddings(positions))
    return embedded


def _attend(queries: Tensor, keys: Tensor, values: Tensor, heads: int, together: Sequence[Run]) -> Tensor:
    """Attention of each text to itself, shape (tokens, hidden)."""
    parts = []
    for run in together:
        rows = slice(run.start, run.start + run.texts * run.length)
        query, key, value = (
            part[rows].view(run.texts, run.length, heads, -1).transpose(1, 2) for part in (queries, keys, values)
        )
        context = nn.functional.scaled_dot_product_attention(query, key, value)
        parts.append(context.transpose(1, 2).reshape(run.texts * run.length, -1))
    return parts[0] if len(parts) == 1 else torch.cat(parts)
