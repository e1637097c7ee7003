"""BGE-M3: weights of a text's own tokens and token embeddings, from one forward pass, in a hundred languages.

Chen et al. 2024, "BGE M3-Embedding" (arXiv 2402.03216), section 3.1: a token weighs ``ReLU(w · h + b)``, the same
token several times its maximum; every token but the first has a vector. Nothing is expanded, so the sparse part
finds what BM25 finds, with other weights. The vector of the whole text is not used here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from cherche_models.backbone import Backbone
from cherche_models.errors import ItemError
from cherche_models.layouts.checkpoint import BIAS, COLBERT, LEXICAL, LINEAR, Checkpoint, Head
from cherche_models.models.base import Model, Output
from cherche_models.models.colbert import Projection, padded_rows
from cherche_models.models.splade import cut
from cherche_models.runtime.batches import Batch
from cherche_models.tokenizer import Kind, TextFormat, Tokenizer
from cherche_models.types import Encoding, TermWeights, Tokens

_SMALLEST_NORMAL = np.finfo(np.float32).tiny


class M3(Model):
    """Term weights of a text's own tokens, and token embeddings.

    Parameters
    ----------
    backbone : Backbone
        Without a masked-LM head.
    tokenizer : Tokenizer
    document, query : TextFormat or None
    dim : int
        Width of a token embedding.
    skip : iterable of int
        Token ids without an embedding in documents.
    """

    architecture = "m3"
    sparse = True
    late_interaction = True
    heads = (COLBERT, LEXICAL)
    from_scratch = False

    def __init__(
        self,
        backbone: Backbone,
        tokenizer: Tokenizer,
        document: TextFormat | None = None,
        query: TextFormat | None = None,
        *,
        dim: int = 1024,
        skip: Iterable[int] = (),
    ) -> None:
        super().__init__(backbone, tokenizer, document, query)
        self.projection = Projection(backbone.hidden_size, dim, skip, bias=True, skip_first=True)
        self.lexical = nn.Linear(backbone.hidden_size, 1)
        # The model's own code gives no weight to these: `cls`, `eos`, `pad` and `unk`.
        self._unweighted = tokenizer.special_ids | tokenizer.unknown_ids

    def checkpoint(self) -> Checkpoint:
        """The model as a value that layouts can write; it shares the tensors."""
        return replace(super().checkpoint(), sparse=False)

    def _build(self, checkpoint: Checkpoint) -> None:
        head = checkpoint.heads[LEXICAL]
        M3.__init__(self, *checkpoint.parts)
        self.projection = Projection.from_checkpoint(checkpoint)
        self.lexical.weight.data = head.tensor(LINEAR)
        self.lexical.bias.data = head.tensor(BIAS)

    def _heads(self) -> dict[str, Head]:
        lexical = Head({LINEAR: self.lexical.weight, BIAS: self.lexical.bias})
        return {COLBERT: self.projection.head(self.tokenizer), LEXICAL: lexical}

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """Token strings of the term weights, in id order."""
        return self.tokenizer.vocabulary

    @property
    def dim(self) -> int:
        """Width of a token embedding."""
        return self.projection.linear.out_features

    def forward(self, input_ids: Tensor, attention_mask: Tensor, kind: Kind = "document") -> Output:
        """Weights (batch, vocabulary), unit vectors (batch, length, dim) and their mask."""
        hidden = self.backbone(input_ids, attention_mask)
        weights = self._token_weights(hidden, input_ids, attention_mask)
        dense = weights.new_zeros(len(weights), len(self.vocabulary)).scatter_reduce(1, input_ids, weights, "amax")
        mask = self.projection.mask(input_ids, attention_mask.bool(), kind)
        return Output(dense, self.projection(hidden), mask)

    def graph_outputs(self, input_ids: Tensor, attention_mask: Tensor, hidden: Tensor) -> dict[str, Tensor]:
        """``term_weights`` and the outputs of the projection."""
        weights = self._token_weights(hidden, input_ids, attention_mask)
        nothing = weights.new_zeros(weights.shape[0], len(self.vocabulary))
        dense = nothing.scatter_reduce(1, input_ids, weights, "amax")
        return {"term_weights": dense, **self.projection.graph_outputs(input_ids, attention_mask, hidden)}

    def infer(self, batch: Batch, kind: Kind) -> list[Encoding]:
        """Term weights and token embeddings of one batch."""
        hidden = self.runtime.hidden_states(batch)
        weights = self._token_weights(hidden, batch.input_ids, batch.attention_mask).cpu().numpy()
        rows = self.projection.rows(hidden, batch, kind)
        ids, most = batch.input_ids.cpu().numpy(), self.formats[kind].terms
        return [Encoding(_terms(ids[i], weights[i], most, batch.positions[i]), row) for i, row in enumerate(rows)]

    def tensors(self, output: Output, kind: Kind) -> dict[str, Tensor]:
        """``sparse_activations`` (texts, vocabulary) and ``embeddings`` (texts, maximum length, dim)."""
        if output.weights is None:
            raise ValueError("the model gave no term weights")
        most = self.formats[kind].terms
        weights = cut(output.weights, most) if most else output.weights
        return {"sparse_activations": weights, "embeddings": padded_rows(output, self.rows(kind))}

    def pair_scores(self, queries: dict[str, Tensor], documents: dict[str, Tensor]) -> Tensor:
        """Dot product of the term weights of each query with its document's, shape (pairs,)."""
        return (queries["sparse_activations"] * documents["sparse_activations"]).sum(dim=1)

    def empty(self) -> Encoding:
        """No terms and no rows."""
        return Encoding(TermWeights.empty(), self.projection.no_rows())

    def kept(self, tokens: Tokens, kind: Kind) -> list[int]:
        """Positions of the tokens that own a row of `Encoding.embeddings`."""
        return self.projection.kept(tokens, kind)

    def _token_weights(self, hidden: Tensor, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Weight of each position, shape (batch, length), float32; 0 for padding and special tokens."""
        weights = torch.relu(self.lexical(hidden.to(self.lexical.weight.dtype)).squeeze(-1).float())
        unweighted = torch.tensor(sorted(self._unweighted), device=input_ids.device)
        bare = (input_ids.unsqueeze(-1) == unweighted).any(-1)  # `isin` has no counterpart in ONNX
        return weights.masked_fill(~attention_mask.bool() | bare, 0.0)


def _terms(ids: np.ndarray, weights: np.ndarray, most: int, position: int) -> TermWeights:
    """The largest weight of each token of a text.

    Raises
    ------
    ItemError
        If a weight is NaN or infinite.
    """
    if not np.isfinite(weights).all():
        raise ItemError(position, "got NaN or infinite weights: the model or its type is broken")
    kept = weights >= _SMALLEST_NORMAL
    terms, places = np.unique(ids[kept], return_inverse=True)
    largest = np.zeros(len(terms), np.float32)
    np.maximum.at(largest, places, weights[kept])
    if most and len(terms) > most:
        best = np.sort(np.argsort(-largest, kind="stable")[:most])
        terms, largest = terms[best], largest[best]
    return TermWeights(terms.astype(np.uint32), largest)
