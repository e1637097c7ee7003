"""What all models share: text formats, batches, and the way to `Encoding`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from cherche_models.runtime.batches import Batch, collate, plan
from cherche_models.tokenizer import Kind, TextFormat, Tokenizer
from cherche_models.types import Encoding, Tokens


class Output(NamedTuple):
    """What a differentiable forward pass gives; None where the model has no such head.

    Attributes
    ----------
    weights : Tensor, shape (batch, vocabulary)
    embeddings : Tensor, shape (batch, rows, dim)
    mask : bool Tensor, shape (batch, rows)
        Which rows of `embeddings` count.
    """

    weights: Tensor | None = None
    embeddings: Tensor | None = None
    mask: Tensor | None = None


class Model(nn.Module, ABC):
    """A retrieval model: tokens in, term weights or token embeddings or both out.

    Parameters
    ----------
    tokenizer : Tokenizer
    document, query : TextFormat
    """

    architecture: ClassVar[str]
    sparse: ClassVar[bool] = False
    late_interaction: ClassVar[bool] = False

    def __init__(self, tokenizer: Tokenizer, document: TextFormat, query: TextFormat) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.formats: dict[Kind, TextFormat] = {"document": document, "query": query}
        self.sparse_boost = 1.0
        self.rerank_weight = 0.5

    @abstractmethod
    def forward(self, input_ids: Tensor, attention_mask: Tensor, kind: Kind = "document") -> Output:
        """Differentiable pass over one padded batch, for training.

        Parameters
        ----------
        input_ids, attention_mask : int64 tensors, shape (batch, length)
            As `collate` gives them.
        kind : {"document", "query"}
        """

    @abstractmethod
    def infer(self, batch: Batch, kind: Kind) -> list[Encoding]:
        """Encode one batch; called under inference mode."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return next(self.parameters()).dtype

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """Token strings of the term weights, in id order; empty without a sparse head."""
        return self.tokenizer.vocabulary if self.sparse else ()

    @property
    def dim(self) -> int:
        """Width of a token embedding; 0 without that head."""
        return 0

    def tokenize(self, texts: Sequence[str], kind: Kind, max_length: int = 0) -> list[Tokens]:
        """Cut texts into tokens; 0 for the model's own maximum.

        Raises
        ------
        ValueError
            If a text holds a lone surrogate, or `max_length` is out of range.
        """
        style = self.formats[kind]
        if max_length > self.max_positions:
            raise ValueError(
                f"max_length {max_length} is beyond the {self.max_positions} positions of this model"
            )
        return self.tokenizer.tokenize(texts, style, max_length)

    @property
    def max_positions(self) -> int:
        """Longest input that the model can read, in tokens."""
        return max(style.max_length for style in self.formats.values())

    def collate(self, tokens: Sequence[Tokens], kind: Kind) -> tuple[Tensor, Tensor]:
        """Pad a batch to its own longest text, for `forward`.

        Returns
        -------
        input_ids, attention_mask : int64 tensors, shape (batch, length)
        """
        batch = collate(tokens, self.tokenizer, self.formats[kind], self.device)
        return batch.input_ids, batch.attention_mask

    def encode_tokens(self, tokens: Sequence[Tokens], kind: Kind) -> list[Encoding]:
        """Encode tokenized texts; results in order.

        Texts of like length share a batch, so little is spent on padding.

        Raises
        ------
        ValueError
            If the model answers NaN for a text, naming its position.
        """
        results: list[Encoding | None] = [None] * len(tokens)
        with torch.inference_mode():
            for positions in plan(tokens):
                batch = collate(
                    [tokens[i] for i in positions], self.tokenizer, self.formats[kind], self.device, positions
                )
                for i, encoding in zip(positions, self.infer(batch, kind), strict=True):
                    results[i] = encoding
        return [result for result in results if result is not None]

    def encode(self, texts: Sequence[str], kind: Kind, max_length: int = 0) -> list[Encoding]:
        """Tokenize and encode texts; results in order."""
        return self.encode_tokens(self.tokenize(texts, kind, max_length), kind)

    def kept(self, tokens: Tokens, kind: Kind) -> list[int]:
        """Positions of the tokens that own a row of `Encoding.embeddings`."""
        return []

    def idf(self, tokens: Tokens) -> dict[int, float] | None:
        """Vocabulary id → idf from the model's own table; None without one."""
        return None
