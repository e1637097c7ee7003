"""What all models share: text formats, batches, and the way to `Encoding`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from cherche_models.backbone import Backbone
from cherche_models.runtime.batches import ACCELERATOR_TOKENS, CPU_TOKENS, Batch, collate, plan
from cherche_models.runtime.protocol import Runtime, TorchRuntime
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
    terms : int64 Tensor, shape (batch, rows)
        Vocabulary id of each row, where rows belong to terms and not to tokens.
    """

    weights: Tensor | None = None
    embeddings: Tensor | None = None
    mask: Tensor | None = None
    terms: Tensor | None = None


class Model(nn.Module, ABC):
    """A retrieval model: tokens in, term weights or token embeddings or both out.

    Parameters
    ----------
    backbone : Backbone
    tokenizer : Tokenizer
    document, query : TextFormat or None
        None for the longest input of the backbone, and no prompt.

    Raises
    ------
    ValueError
        If the tokenizer has tokens that the backbone has no embedding for.

    Attributes
    ----------
    formats : dict from kind to TextFormat
    digest : str
        sha256 of the files it was loaded from; empty for a model made in memory.
    sparse_boost, rerank_weight : float
        Tuned on training data; saved with the model.
    """

    architecture: ClassVar[str]
    sparse: ClassVar[bool] = False
    late_interaction: ClassVar[bool] = False

    def __init__(
        self,
        backbone: Backbone,
        tokenizer: Tokenizer,
        document: TextFormat | None = None,
        query: TextFormat | None = None,
    ) -> None:
        super().__init__()
        if len(tokenizer) > backbone.tokens:
            raise ValueError(
                f"the tokenizer has {len(tokenizer)} tokens, the backbone {backbone.tokens} embeddings: "
                "they do not belong together"
            )
        self.backbone = backbone
        self.tokenizer = tokenizer
        self.runtime: Runtime = TorchRuntime(backbone)
        default = TextFormat(min(backbone.max_length, tokenizer.model_max_length))
        self.formats: dict[Kind, TextFormat] = {"document": document or default, "query": query or default}
        self.digest = ""
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
        """Encode one batch of texts that have tokens; called under inference mode."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.backbone.device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return self.backbone.dtype

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """Token strings of the term weights, in id order; empty without a sparse head."""
        return ()

    @property
    def dim(self) -> int:
        """Width of a token embedding; 0 without that head."""
        return 0

    def tokenize(self, texts: Sequence[str], kind: Kind, max_length: int = 0) -> list[Tokens]:
        """Cut texts into tokens; 0 for the model's own maximum.

        Raises
        ------
        ItemError
            If a text holds a lone surrogate.
        ValueError
            If `max_length` is more than the backbone reads, or leaves no room for a text.
        """
        if max_length > self.backbone.max_length:
            raise ValueError(
                f"max_length {max_length} is more than the {self.backbone.max_length} tokens that this model reads"
            )
        return self.tokenizer.tokenize(texts, self.formats[kind], max_length)

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
        ItemError
            If the model answers NaN or infinity for a text.
        """
        results = [self.empty()] * len(tokens)
        with torch.inference_mode():
            for positions in plan(tokens, CPU_TOKENS if self.device.type == "cpu" else ACCELERATOR_TOKENS):
                batch = collate(
                    [tokens[i] for i in positions], self.tokenizer, self.formats[kind], self.device, positions
                )
                for i, encoding in zip(positions, self.infer(batch, kind), strict=True):
                    results[i] = encoding
        return results

    def encode(self, texts: Sequence[str], kind: Kind, max_length: int = 0) -> list[Encoding]:
        """Tokenize and encode texts; results in order."""
        return self.encode_tokens(self.tokenize(texts, kind, max_length), kind)

    @abstractmethod
    def empty(self) -> Encoding:
        """The encoding of a text without tokens."""

    def kept(self, tokens: Tokens, kind: Kind) -> list[int]:
        """Positions of the tokens that own a row of `Encoding.embeddings`; none without that head."""
        return []

    def idf(self, tokens: Tokens) -> dict[int, float] | None:
        """Vocabulary id → idf from the model's own table; None without a table."""
        return None
