"""Inference-free SPLADE: documents through the model, queries through a table.

A query term weighs its idf, so that searching needs a tokenizer and no forward
pass (Geng et al. 2024, arXiv 2411.04403).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from cherche_models.backbone import Backbone
from cherche_models.layouts.checkpoint import IDF, WEIGHT, Activation, Checkpoint, Head, Pooling
from cherche_models.models.base import Output
from cherche_models.models.splade import Splade, largest
from cherche_models.tokenizer import Kind, TextFormat, Tokenizer
from cherche_models.types import Encoding, TermWeights, Tokens


class InferenceFree(Splade):
    """A SPLADE model for documents with a table of query term weights.

    Parameters
    ----------
    backbone : Backbone
        With a masked-LM head.
    tokenizer : Tokenizer
    table : Tensor, shape (vocabulary,)
        Query weight of each term: its idf. Not trained.
    document, query : TextFormat or None
        Queries carry no special tokens unless their format says so.
    activation : {"relu", "log1p_relu"}
    pooling : {"max", "sum"}

    Raises
    ------
    ValueError
        If the table does not fit the vocabulary.
    """

    architecture = "inference_free"
    heads = (IDF,)
    from_scratch = False
    table: Tensor

    def __init__(
        self,
        backbone: Backbone,
        tokenizer: Tokenizer,
        table: Tensor,
        document: TextFormat | None = None,
        query: TextFormat | None = None,
        *,
        activation: Activation = "relu",
        pooling: Pooling = "max",
    ) -> None:
        query = query or TextFormat(backbone.max_length, special_tokens=False)
        super().__init__(backbone, tokenizer, document, query, activation=activation, pooling=pooling)
        self._set_table(table)

    def _build(self, checkpoint: Checkpoint) -> None:
        super()._build(checkpoint)
        self._set_table(checkpoint.heads[IDF].tensor(WEIGHT))

    def _heads(self) -> dict[str, Head]:
        return {IDF: Head({WEIGHT: self.table})}

    def _set_table(self, table: Tensor) -> None:
        if table.shape != (len(self.vocabulary),):
            raise ValueError(f"the table has shape {tuple(table.shape)}, the vocabulary {len(self.vocabulary)} terms")
        self.register_buffer("table", table.detach().float(), persistent=False)
        self._weights = self.table.cpu().numpy()

    def forward(self, input_ids: Tensor, attention_mask: Tensor, kind: Kind = "document") -> Output:
        """Dense term weights, shape (batch, vocabulary); those of queries come from the table."""
        if kind == "document":
            return super().forward(input_ids, attention_mask, kind)
        present = torch.zeros(input_ids.shape[0], self.table.shape[0], device=input_ids.device)
        # The maximum, so that a repeated token counts once and padding not at all.
        present.scatter_reduce_(1, input_ids, attention_mask.float(), "amax")
        return Output(weights=present * self.table)

    def encode_tokens(self, tokens: Sequence[Tokens], kind: Kind) -> list[Encoding]:
        """Encode tokenized texts; queries without a forward pass."""
        if kind == "document":
            return super().encode_tokens(tokens, kind)
        return [Encoding(self._look_up(item), None) for item in tokens]

    def idf(self, tokens: Tokens) -> dict[int, float] | None:
        """Vocabulary id → idf of a query's terms."""
        return dict(self._look_up(tokens).items())

    def _look_up(self, tokens: Tokens) -> TermWeights:
        ids = np.unique(np.array(tokens.ids, dtype=np.uint32))
        weights = self._weights[ids]
        kept, most = weights > 0, self.formats["query"].terms
        found = TermWeights(ids[kept], weights[kept])
        return largest(found, most) if most else found
