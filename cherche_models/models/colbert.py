"""ColBERT: one L2-normalised vector per token.

Khattab & Zaharia 2020: a bias-free projection of the last hidden states; queries
filled up with ``[MASK]``, punctuation of documents left out.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from cherche_models.backbone import Backbone
from cherche_models.models.base import Model, Output
from cherche_models.runtime.batches import Batch
from cherche_models.tokenizer import Kind, TextFormat, Tokenizer
from cherche_models.types import Encoding, TokenEmbeddings, Tokens


class Projection(nn.Module):
    """From hidden states to unit vectors, and which tokens have one.

    Parameters
    ----------
    in_features, dim : int
    skip : iterable of int
        Token ids that own no vector in a document.
    """

    skip: Tensor

    def __init__(self, in_features: int, dim: int, skip: Iterable[int] = ()) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, dim, bias=False)
        self.register_buffer("skip", torch.tensor(sorted(set(skip)), dtype=torch.long), persistent=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """Unit vectors, same leading shape, float32."""
        projected = self.linear(hidden.to(self.linear.weight.dtype))
        return nn.functional.normalize(projected.float(), dim=-1)

    def mask(self, input_ids: Tensor, real: Tensor, kind: Kind) -> Tensor:
        """Bool tensor, shape (batch, length): tokens that own a vector."""
        if kind == "query" or self.skip.numel() == 0:
            return real
        return real & ~torch.isin(input_ids, self.skip)

    def kept(self, tokens: Tokens, kind: Kind) -> list[int]:
        """Positions of the tokens that own a vector."""
        skipped = set(self.skip.tolist()) if kind == "document" else set()
        return [position for position, token in enumerate(tokens.ids) if token not in skipped]


class ColBERT(Model):
    """Token embeddings for MaxSim; a vocabulary head is never run.

    Parameters
    ----------
    backbone : Backbone
    tokenizer : Tokenizer
    document, query : TextFormat or None
        None for the backbone's maximum length and no prompt.
    dim : int
        Width of a token embedding.
    skip : iterable of int
        Token ids left out of documents.
    """

    architecture = "colbert"
    late_interaction = True

    def __init__(
        self,
        backbone: Backbone,
        tokenizer: Tokenizer,
        document: TextFormat | None = None,
        query: TextFormat | None = None,
        *,
        dim: int = 128,
        skip: Iterable[int] = (),
    ) -> None:
        default = TextFormat(backbone.max_length)
        super().__init__(tokenizer, document or default, query or default)
        self.backbone = backbone
        self.projection = Projection(backbone.hidden_size, dim, skip)

    @property
    def dim(self) -> int:
        """Width of a token embedding."""
        return self.projection.linear.out_features

    def forward(self, input_ids: Tensor, attention_mask: Tensor, kind: Kind = "document") -> Output:
        """Unit vectors, shape (batch, length, dim), and the mask of those that count."""
        embeddings = self.projection(self.backbone(input_ids, attention_mask))
        real = scored_mask(input_ids, attention_mask, self.tokenizer, self.formats[kind])
        return Output(embeddings=embeddings, mask=self.projection.mask(input_ids, real, kind))

    def infer(self, batch: Batch, kind: Kind) -> list[Encoding]:
        """Token embeddings of one batch."""
        output = self(batch.input_ids, batch.attention_mask, kind)
        return [Encoding(None, rows) for rows in unpad(output.embeddings, output.mask, batch)]

    def kept(self, tokens: Tokens, kind: Kind) -> list[int]:
        """Positions of the tokens that own a row of `Encoding.embeddings`."""
        return self.projection.kept(tokens, kind)


def scored_mask(input_ids: Tensor, attention_mask: Tensor, tokenizer: Tokenizer, style: TextFormat) -> Tensor:
    """Tokens that take part in MaxSim: those attended to, and a query's ``[MASK]`` filling."""
    real = attention_mask.bool()
    return real | (input_ids == tokenizer.mask_id) if style.expand else real


def unpad(embeddings: Tensor, mask: Tensor, batch: Batch) -> list[TokenEmbeddings]:
    """Rows that count, text by text.

    Raises
    ------
    ValueError
        If a row that counts holds NaN, naming the text's position.
    """
    rows = embeddings[mask]
    counts = mask.sum(dim=1).tolist()
    found = []
    for position, vectors in zip(batch.positions, rows.cpu().split(counts), strict=True):
        if not bool(torch.isfinite(vectors).all()):
            raise ValueError(f"the model gave NaN or infinite embeddings for text {position}")
        found.append(TokenEmbeddings(vectors.numpy()))
    return found
