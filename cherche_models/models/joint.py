"""Term weights and token embeddings from one forward pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from cherche_models.backbone import Backbone
from cherche_models.layouts.checkpoint import COLBERT, Activation, Checkpoint, Head, Pooling
from cherche_models.models.base import Output
from cherche_models.models.colbert import Projection, padded_rows, scored_mask
from cherche_models.models.splade import Splade
from cherche_models.runtime.batches import Batch
from cherche_models.tokenizer import Kind, TextFormat, Tokenizer
from cherche_models.types import Encoding, TermWeights, Tokens
from cherche_models.weighting import Weighting


class Joint(Splade):
    """A SPLADE model whose hidden states also feed a ColBERT projection.

    Parameters
    ----------
    backbone : Backbone
        With a masked-LM head.
    tokenizer : Tokenizer
    document, query : TextFormat or None
    dim : int
        Width of a token embedding.
    skip : iterable of int
        Token ids without an embedding in documents.
    activation : {"relu", "log1p_relu"}
    pooling : {"max", "sum"}

    Attributes
    ----------
    query_weighting : Weighting or None
        Lengths of a query's vectors, by `query_table`.
    """

    architecture = "joint"
    late_interaction = True
    heads = (COLBERT,)

    def __init__(
        self,
        backbone: Backbone,
        tokenizer: Tokenizer,
        document: TextFormat | None = None,
        query: TextFormat | None = None,
        *,
        dim: int = 128,
        skip: Iterable[int] = (),
        activation: Activation = "relu",
        pooling: Pooling = "max",
    ) -> None:
        super().__init__(backbone, tokenizer, document, query, activation=activation, pooling=pooling)
        self.projection = Projection(backbone.hidden_size, dim, skip)
        self.query_weighting: Weighting | None = None

    def _build(self, checkpoint: Checkpoint) -> None:
        super()._build(checkpoint)
        self.projection = Projection.from_checkpoint(checkpoint)
        self.query_weighting = checkpoint.query_weighting

    def checkpoint(self) -> Checkpoint:
        """As of every model; a weighting of queries only with the table that it needs."""
        own = self.query_weighting if self.query_table is not None else None
        return replace(super().checkpoint(), query_weighting=own)

    def _heads(self) -> dict[str, Head]:
        return {COLBERT: self.projection.head(self.tokenizer)}

    @property
    def dim(self) -> int:
        """Width of a token embedding."""
        return self.projection.linear.out_features

    def forward(self, input_ids: Tensor, attention_mask: Tensor, kind: Kind = "document") -> Output:
        """Weights (batch, vocabulary), vectors (batch, length, dim) and their mask.

        Vectors have unit length, those of a query the lengths of `query_weighting`.
        """
        hidden = self.backbone(input_ids, attention_mask)
        real = scored_mask(input_ids, attention_mask, self.tokenizer, self.formats[kind])
        vectors = self.projection(hidden)
        if kind == "query" and self.query_weighting is not None and self.query_table is not None:
            vectors = vectors * self._lengths(input_ids, attention_mask).unsqueeze(-1)
        return Output(
            self.term_weights(hidden, attention_mask.bool()), vectors, self.projection.mask(input_ids, real, kind)
        )

    def _lengths(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Of the vectors of queries, shape (batch, length); 1 for padding."""
        assert self.query_weighting is not None
        assert self.query_table is not None
        table, special = self.query_table.float().cpu().numpy(), self.tokenizer.special_ids
        found = torch.ones(input_ids.shape)
        for row, (ids, mask) in enumerate(zip(input_ids.cpu(), attention_mask.bool().cpu(), strict=True)):
            found[row, mask] = torch.from_numpy(self.query_weighting.weights(ids[mask].tolist(), table, special))
        return found.to(input_ids.device)

    def graph_outputs(self, input_ids: Tensor, attention_mask: Tensor, hidden: Tensor) -> dict[str, Tensor]:
        """Those of both heads."""
        rows = self.projection.graph_outputs(input_ids, attention_mask, hidden)
        return {**super().graph_outputs(input_ids, attention_mask, hidden), **rows}

    def encode_tokens(self, tokens: Sequence[Tokens], kind: Kind) -> list[Encoding]:
        """As of every model; the vectors of a query have its tokens' weights for lengths."""
        found = super().encode_tokens(tokens, kind)
        if kind == "document" or self.query_weighting is None or self.query_table is None:
            return found
        table, special = self.query_table.float().cpu().numpy(), self.tokenizer.special_ids
        pairs = zip(found, tokens, strict=True)
        return [self.query_weighting.applied(encoding, own.ids, table, special) for encoding, own in pairs]

    def infer(self, batch: Batch, kind: Kind) -> list[Encoding]:
        """Term weights and token embeddings of one batch."""
        runtime = self._runtime_of(batch)
        hidden = runtime.hidden_states(batch)
        weights = self.sparse_weights(hidden, batch, kind, runtime)
        rows = self.projection.rows(hidden, batch, kind)
        return [Encoding(*pair) for pair in zip(weights, rows, strict=True)]

    def tensors(self, output: Output, kind: Kind) -> dict[str, Tensor]:
        """``sparse_activations`` (texts, vocabulary) and ``embeddings`` (texts, maximum length, dim)."""
        return {**super().tensors(output, kind), "embeddings": padded_rows(output, self.rows(kind))}

    def empty(self) -> Encoding:
        """No terms and no rows."""
        return Encoding(TermWeights.empty(), self.projection.no_rows())

    def kept(self, tokens: Tokens, kind: Kind) -> list[int]:
        """Positions of the tokens that own a row of `Encoding.embeddings`."""
        return self.projection.kept(tokens, kind)
