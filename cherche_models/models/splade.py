"""SPLADE: term weights from a masked-LM head.

Formal et al. 2021, "SPLADE v2" (arXiv 2109.10086), eq. 2:
``w_j = max_i log(1 + ReLU(logit_ij))``; ``sum_i`` in its eq. 1, the first SPLADE.
"""

from __future__ import annotations

import string
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Unpack, overload

import numpy as np
import torch
from torch import Tensor

from cherche_models.backbone import Backbone
from cherche_models.errors import ItemError
from cherche_models.kernel.short import activated
from cherche_models.layouts.checkpoint import Activation, Checkpoint, Pooling
from cherche_models.models.base import Model, Output
from cherche_models.models.compat import Options
from cherche_models.runtime.batches import Batch
from cherche_models.runtime.head import VOCABULARY_CHUNK, hide_padding, max_logits
from cherche_models.runtime.native import Native
from cherche_models.runtime.protocol import Runtime
from cherche_models.tokenizer import Kind, TextFormat, Tokenizer
from cherche_models.types import Encoding, TermWeights

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_BROKEN = "got NaN or infinite weights: the model or its type is broken"
_SMALLEST_NORMAL = torch.finfo(torch.float32).tiny


class Splade(Model):
    """Term weights over the vocabulary, expanded by the model.

    ``Splade("folder or hub id", **options)`` loads one: see `compat.Options`.

    Parameters
    ----------
    backbone : Backbone
        With a masked-LM head.
    tokenizer : Tokenizer
    document, query : TextFormat or None
    activation : {"relu", "log1p_relu"}
        ``log1p_relu`` takes the logarithm twice, as OpenSearch's v3 models do
        (Geng et al. 2025, arXiv 2504.14839).
    pooling : {"max", "sum"}

    Raises
    ------
    ValueError
        If the backbone has no masked-LM head.
    """

    architecture = "splade"
    sparse = True
    packable = True

    @overload
    def __init__(
        self,
        backbone: Backbone,
        tokenizer: Tokenizer,
        document: TextFormat | None = None,
        query: TextFormat | None = None,
        *,
        activation: Activation = "relu",
        pooling: Pooling = "max",
    ) -> None: ...

    @overload
    def __init__(self, model_name_or_path: str | Path, /, **options: Unpack[Options]) -> None: ...

    @overload
    def __init__(self, *, model_name_or_path: str | Path, **options: Unpack[Options]) -> None: ...

    def __init__(
        self,
        backbone: Backbone | str | Path | None = None,
        tokenizer: Tokenizer | None = None,
        document: TextFormat | None = None,
        query: TextFormat | None = None,
        *,
        activation: Activation = "relu",
        pooling: Pooling = "max",
        **by_name: object,
    ) -> None:
        if not isinstance(backbone, Backbone) or tokenizer is None:
            self._open(backbone, by_name)
            return
        super().__init__(backbone, tokenizer, document, query)
        self.activation: Activation = activation
        self.pooling: Pooling = pooling
        # Decoders are often padded to a multiple of 64 rows: ids beyond the tokenizer's tokens need names too.
        known = tokenizer.vocabulary[: backbone.decoder.out_features]
        self._vocabulary = known + tuple(f"[id {i}]" for i in range(len(known), backbone.decoder.out_features))

    def checkpoint(self) -> Checkpoint:
        """The model as a value that layouts can write; it shares the tensors."""
        return replace(super().checkpoint(), activation=self.activation, pooling=self.pooling)

    def _build(self, checkpoint: Checkpoint) -> None:
        Splade.__init__(self, *checkpoint.parts, activation=checkpoint.activation, pooling=checkpoint.pooling)

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """Token strings of the term weights, in id order."""
        return self._vocabulary

    def forward(self, input_ids: Tensor, attention_mask: Tensor, kind: Kind = "document") -> Output:
        """Dense term weights, shape (batch, vocabulary)."""
        hidden = self.backbone(input_ids, attention_mask)
        return Output(weights=self.term_weights(hidden, attention_mask.bool()))

    def term_weights(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Differentiable head.

        Parameters
        ----------
        hidden : Tensor, shape (batch, length, hidden)
        mask : bool Tensor, shape (batch, length)

        Returns
        -------
        Tensor, shape (batch, vocabulary), float32
        """
        transformed = self.backbone.transform(hidden)
        decoder = self.backbone.decoder
        if self.pooling == "sum":
            return summed_weights(transformed, mask, decoder.weight, decoder.bias, self.activation)
        logits = max_logits(hide_padding(transformed, mask), decoder.weight).float()
        return activate(logits if decoder.bias is None else logits + decoder.bias, self.activation)

    def graph_outputs(self, input_ids: Tensor, attention_mask: Tensor, hidden: Tensor) -> dict[str, Tensor]:
        """``logits`` and ``term_weights``, those of documents."""
        logits = self.backbone.decoder(self.backbone.transform(hidden))
        weights = activate(logits, self.activation) * attention_mask.unsqueeze(-1)
        return {"logits": logits, "term_weights": weights.sum(1) if self.pooling == "sum" else weights.amax(1)}

    def infer(self, batch: Batch, kind: Kind) -> list[Encoding]:
        """Term weights of one batch."""
        runtime = self._runtime_of(batch)
        hidden = runtime.hidden_states(batch)
        return [Encoding(weights, None) for weights in self.sparse_weights(hidden, batch, kind, runtime)]

    def sparse_weights(self, hidden: Tensor, batch: Batch, kind: Kind, runtime: Runtime | Native) -> list[TermWeights]:
        """Positive term weights of each text, from its hidden states, by the runtime that gave these."""
        mask = batch.attention_mask.bool()
        # A sum needs the activation of every token; a maximum can be taken of the logits.
        if self.pooling == "sum":
            found = _sparsify(self.term_weights(hidden, mask), batch, None)
        elif hidden.device.type == "cpu":
            rows = hidden if batch.packed else hidden[mask]
            found = self._positive_weights(rows, batch.counts(mask), batch, runtime)
        else:
            logits = runtime.max_logits(runtime.transformed(hidden), mask)
            found = _sparsify(logits, batch, self.activation)
        most = self.formats[kind].terms
        return [largest(weights, most) for weights in found] if most else found

    def _positive_weights(
        self, hidden: Tensor, sizes: list[int], batch: Batch, runtime: Runtime | Native
    ) -> list[TermWeights]:
        """From hidden states of all texts, one after another, shape (tokens, hidden)."""
        transformed = runtime.transformed(hidden)
        _check_finite(transformed.sum(dim=1), sizes, batch)
        terms, logits, counts = runtime.positive_logits(transformed, sizes)
        _check_finite(logits, counts, batch)
        ids = terms.numpy().astype(np.uint32)
        if batch.short:
            weights = activated(logits.numpy(), self.activation)
        else:
            weights = activate(logits, self.activation).numpy()
        ends = list(accumulate(counts))
        return [
            TermWeights(ids[start:end].copy(), weights[start:end].copy())
            for start, end in zip([0, *ends], ends, strict=False)
        ]

    def _packs(self, kind: Kind) -> bool:
        return self.pooling == "max" and super()._packs(kind)

    def tensors(self, output: Output, kind: Kind) -> dict[str, Tensor]:
        """``sparse_activations``, shape (texts, vocabulary), cut to as many terms as the format says."""
        if output.weights is None:
            raise ValueError("the model gave no term weights")
        most = self.formats[kind].terms
        return {"sparse_activations": cut(output.weights, most) if most else output.weights}

    def pair_scores(self, queries: dict[str, Tensor], documents: dict[str, Tensor]) -> Tensor:
        """Dot product of each query with its document, shape (pairs,)."""
        return (queries["sparse_activations"] * documents["sparse_activations"]).sum(dim=1)

    def decode(
        self,
        sparse_activations: Tensor,
        clean_up_tokenization_spaces: bool = False,
        skip_special_tokens: bool = True,
        k_tokens: int = 96,
    ) -> list[str]:
        """Largest term weights as text, without punctuation.

        Parameters
        ----------
        sparse_activations : Tensor, shape (texts, vocabulary)
        clean_up_tokenization_spaces, skip_special_tokens : bool
            As transformers' tokenizers take them.
        k_tokens : int
            Most terms of a text.
        """
        weights, terms = sparse_activations.topk(min(k_tokens, sparse_activations.shape[1]), dim=-1)
        texts = (
            self.tokenizer.decode(ids[row > 0].tolist(), skip_special_tokens, clean_up_tokenization_spaces)
            for row, ids in zip(weights, terms, strict=True)
        )
        return [" ".join(text.translate(_PUNCTUATION).split()) for text in texts]

    def empty(self) -> Encoding:
        """No terms."""
        return Encoding(TermWeights.empty(), None)


def cut(weights: Tensor, most: int) -> Tensor:
    """The `most` largest weights of each row, the others 0.

    >>> cut(torch.tensor([[1.0, 3.0, 2.0]]), 2).tolist()
    [[0.0, 3.0, 2.0]]
    """
    best, terms = weights.topk(min(most, weights.shape[1]), dim=1)
    return torch.zeros_like(weights).scatter(1, terms, best)


def activate(logits: Tensor, activation: Activation) -> Tensor:
    """ReLU and log(1 + x), once or twice.

    >>> [round(w, 4) for w in activate(torch.tensor([-1.0, 1.7182818]), "relu").tolist()]
    [0.0, 1.0]
    """
    weights = torch.log1p(torch.relu(logits))
    return torch.log1p(weights) if activation == "log1p_relu" else weights


def summed_weights(
    transformed: Tensor, mask: Tensor, decoder: Tensor, bias: Tensor | None, activation: Activation
) -> Tensor:
    """Sum over tokens instead of the maximum, some vocabulary rows at a time.

    Returns
    -------
    Tensor, shape (batch, vocabulary), float32
    """
    parts = []
    for start in range(0, decoder.shape[0], VOCABULARY_CHUNK):
        rows = slice(start, start + VOCABULARY_CHUNK)
        logits = (transformed @ decoder[rows].T).float()
        logits = logits if bias is None else logits + bias[rows]
        parts.append((activate(logits, activation) * mask.unsqueeze(-1)).sum(dim=1))
    return torch.cat(parts, dim=1)


def _sparsify(values: Tensor, batch: Batch, activation: Activation | None) -> list[TermWeights]:
    """What is positive in each row; logits are activated only there."""
    # One NaN or infinity shows in the sum of its row, which is cheaper than a test of each value.
    finite = torch.isfinite(values.sum(dim=1))
    if not bool(finite.all()):
        row = int((~finite).nonzero()[0])
        raise ItemError(batch.positions[row], _BROKEN)
    # Engines refuse subnormal weights.
    positive = values >= _SMALLEST_NORMAL
    kept = values[positive]
    weights = (kept if activation is None else activate(kept, activation)).cpu().numpy()
    ids = positive.nonzero()[:, 1].cpu().numpy().astype("uint32")
    ends = positive.sum(dim=1).cumsum(dim=0).tolist()
    return [
        TermWeights(ids[start:end].copy(), weights[start:end].copy())
        for start, end in zip([0, *ends], ends, strict=False)
    ]


def _check_finite(values: Tensor, counts: list[int], batch: Batch) -> None:
    """Raise an error that names the text of the first value that is not finite; `counts` values are of each text."""
    finite = torch.isfinite(values)
    if not bool(finite.all()):
        first = int((~finite).nonzero()[0])
        text = next(i for i, end in enumerate(accumulate(counts)) if first < end)
        raise ItemError(batch.positions[text], _BROKEN)


def largest(weights: TermWeights, most: int) -> TermWeights:
    """The `most` largest weights; ties fall to the smaller id."""
    kept = (-weights.weights).argsort(kind="stable")[:most] if len(weights) > most else None
    if kept is None:
        return weights
    kept.sort()
    return TermWeights(weights.ids[kept], weights.weights[kept])
