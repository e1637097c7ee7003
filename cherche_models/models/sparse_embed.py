"""SparseEmbed: SPLADE's terms, each with a small contextual vector.

Kong et al. 2023, "SparseEmbed: Learning Sparse Lexical Representations with
Contextual Embeddings for Retrieval" (SIGIR 2023): the vector of a term is the
attention-weighted mean of the hidden states, the masked-LM logits of that term
being the attention scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal, Unpack, overload

import torch
from torch import Tensor, nn

from cherche_models.backbone import Backbone
from cherche_models.errors import ItemError
from cherche_models.layouts.checkpoint import LINEAR, SPARSE_EMBED, Activation, Checkpoint, Head
from cherche_models.models.base import Output
from cherche_models.models.compat import Options
from cherche_models.models.splade import Splade
from cherche_models.runtime.batches import Batch
from cherche_models.runtime.pairs import term_pairs
from cherche_models.tokenizer import Kind, TextFormat, Tokenizer
from cherche_models.types import Encoding, TermWeights, TokenEmbeddings

Attention = Literal["tokens", "terms"]

DOCUMENT_TERMS, QUERY_TERMS = 256, 64


class SparseEmbed(Splade):
    """Term weights, and one vector per kept term.

    ``SparseEmbed("folder or hub id", **options)`` loads one: see `compat.Options`.

    Rows of `Encoding.embeddings` run parallel to its `weights`: they belong to
    terms, so MaxSim does not apply: the score is the sum, over the terms that
    query and document share, of the dot product of their vectors.

    Parameters
    ----------
    backbone : Backbone
        With a masked-LM head.
    tokenizer : Tokenizer
    document, query : TextFormat or None
        Their `terms` bounds the terms with a vector; 256 and 64 by default.
    dim : int
        Width of a term's vector.
    attention : {"tokens", "terms"}
        What the softmax runs over: a text's tokens, or its kept terms, which is
        what neural-cherche's checkpoints were trained with.
    activation : {"relu", "log1p_relu"}
    """

    architecture = "sparse_embed"
    heads = (SPARSE_EMBED,)
    terms: ClassVar[Mapping[Kind, int]] = {"document": DOCUMENT_TERMS, "query": QUERY_TERMS}
    runs_on_onnx = False
    packable = False
    attention: Attention

    @overload
    def __init__(
        self,
        backbone: Backbone,
        tokenizer: Tokenizer,
        document: TextFormat | None = None,
        query: TextFormat | None = None,
        *,
        dim: int = 128,
        attention: Attention = "tokens",
        activation: Activation = "relu",
    ) -> None: ...

    @overload
    def __init__(
        self, model_name_or_path: str | Path, /, *, embedding_size: int = 128, **options: Unpack[Options]
    ) -> None: ...

    @overload
    def __init__(
        self, *, model_name_or_path: str | Path, embedding_size: int = 128, **options: Unpack[Options]
    ) -> None: ...

    def __init__(
        self,
        backbone: Backbone | str | Path | None = None,
        tokenizer: Tokenizer | None = None,
        document: TextFormat | None = None,
        query: TextFormat | None = None,
        *,
        dim: int = 128,
        attention: Attention = "tokens",
        activation: Activation = "relu",
        **by_name: object,
    ) -> None:
        if not isinstance(backbone, Backbone) or tokenizer is None:
            self._open(backbone, by_name)
            if self.compat:
                self.attention = "terms"
            return
        longest = min(backbone.max_length, tokenizer.model_max_length)
        super().__init__(
            backbone,
            tokenizer,
            document or TextFormat(longest, terms=DOCUMENT_TERMS),
            query or TextFormat(longest, terms=QUERY_TERMS),
            activation=activation,
        )
        self.linear = nn.Linear(backbone.hidden_size, dim, bias=False)
        self.attention = attention

    def _build(self, checkpoint: Checkpoint) -> None:
        super()._build(replace(checkpoint, pooling="max"))
        head = checkpoint.heads.get(SPARSE_EMBED)
        dim = checkpoint.dim if head is None else head.tensor(LINEAR).shape[0]
        self.linear = nn.Linear(self.backbone.hidden_size, dim, bias=False)
        self.attention = "tokens" if head is None else head.config.get("attention", "tokens")
        if head is not None:
            self.linear.weight.data = head.tensor(LINEAR)

    def _heads(self) -> dict[str, Head]:
        return {SPARSE_EMBED: Head({LINEAR: self.linear.weight}, {"attention": self.attention})}

    @property
    def dim(self) -> int:
        """Width of a term's vector."""
        return self.linear.out_features

    def forward(self, input_ids: Tensor, attention_mask: Tensor, kind: Kind = "document") -> Output:
        """Weights (batch, vocabulary), cut to the kept terms; their vectors, mask and ids."""
        mask = attention_mask.bool()
        hidden = self.backbone(input_ids, attention_mask)
        dense = self.term_weights(hidden, mask)
        most = min(self.formats[kind].terms or dense.shape[1], dense.shape[1])
        kept, terms = dense.topk(most, dim=1)
        weights = torch.zeros_like(dense).scatter(1, terms, kept)
        counts = kept >= 0 if self.compat else kept > 0  # neural-cherche scores terms without weight too
        return Output(weights, self.term_embeddings(hidden, mask, terms), counts, terms)

    def term_embeddings(self, hidden: Tensor, mask: Tensor, terms: Tensor) -> Tensor:
        """Contextual vectors of terms; logits are computed for these terms alone.

        Parameters
        ----------
        hidden : Tensor, shape (batch, length, hidden)
        mask : bool Tensor, shape (batch, length)
        terms : int64 Tensor, shape (batch, terms)

        Returns
        -------
        Tensor, shape (batch, terms, dim), not negative, not normalised
        """
        decoder = self.backbone.decoder
        logits = self.backbone.transform(hidden) @ decoder.weight[terms].transpose(1, 2)
        if decoder.bias is not None:
            logits = logits + decoder.bias[terms].unsqueeze(1)
        pads = ~mask.unsqueeze(-1)
        if self.attention == "tokens":
            attention = logits.float().masked_fill(pads, -torch.inf).softmax(dim=1)
        else:
            attention = logits.float().softmax(dim=2).masked_fill(pads, 0.0)
        context = attention.to(hidden.dtype).transpose(1, 2) @ hidden
        return torch.relu(self.linear(context.to(self.linear.weight.dtype))).float()

    def infer(self, batch: Batch, kind: Kind) -> list[Encoding]:
        """Terms of one batch in ascending order of id, and their vectors."""
        weights, embeddings, mask, terms = _whole(self(batch.input_ids, batch.attention_mask, kind))
        return [
            _encoding(weights[row], embeddings[row], mask[row], terms[row], position)
            for row, position in enumerate(batch.positions)
        ]

    def tensors(self, output: Output, kind: Kind) -> dict[str, Tensor]:
        """Terms of each text in descending order of weight.

        ``activations`` (texts, terms) are their ids, ``embeddings`` (texts, terms, dim)
        their vectors, zeros for a term without weight; ``sparse_activations`` (texts, vocabulary).
        """
        weights, embeddings, mask, terms = _whole(output)
        return {
            "embeddings": embeddings * mask.unsqueeze(-1),
            "sparse_activations": weights,
            "activations": terms,
        }

    def pair_scores(self, queries: dict[str, Tensor], documents: dict[str, Tensor]) -> Tensor:
        """Dot products of the vectors of shared terms, summed for each query and its document, shape (pairs,)."""
        sides = (queries["activations"], documents["activations"], queries["embeddings"], documents["embeddings"])
        return term_pairs(*sides)

    def empty(self) -> Encoding:
        """No terms."""
        return Encoding(TermWeights.empty(), TokenEmbeddings(torch.empty(0, self.dim).numpy()))


def _whole(output: Output) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    if output.weights is None or output.embeddings is None or output.mask is None or output.terms is None:
        raise ValueError("the model gave no vectors of terms")
    return output.weights, output.embeddings, output.mask, output.terms


def _encoding(weights: Tensor, embeddings: Tensor, mask: Tensor, terms: Tensor, position: int) -> Encoding:
    ids, order = terms[mask].sort()
    values, rows = weights[ids], embeddings[mask][order]
    if not (bool(torch.isfinite(weights).all()) and bool(torch.isfinite(rows).all())):
        raise ItemError(position, "got NaN or infinite values: the model or its type is broken")
    return Encoding(
        TermWeights(ids.cpu().numpy().astype("uint32"), values.cpu().numpy()),
        TokenEmbeddings(rows.cpu().numpy()),
    )
