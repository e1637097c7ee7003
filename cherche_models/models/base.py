"""What all models share: text formats, batches, and the way to `Encoding`."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, Self, overload

import torch
from torch import Tensor, nn

from cherche_models.backbone import Backbone
from cherche_models.codes.codebook import Codebook
from cherche_models.models import texts as by_text
from cherche_models.models.compat import open_model
from cherche_models.models.texts import kind_of
from cherche_models.runtime.batches import ACCELERATOR_TOKENS, CPU_TOKENS, Batch, collate, plan
from cherche_models.runtime.protocol import Runtime, TorchRuntime
from cherche_models.tokenizer import Kind, TextFormat, Tokenizer
from cherche_models.types import Compat, Encoding, Tokens

Padding = Literal["max_length", "longest"]


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
    codebook : Codebook or None
        What residual codes of its token embeddings are made with; see `train.codebook`.
    compat : {"1.4"} or None
        Scores as that release of neural-cherche has them, defects included.
    padding : {"max_length", "longest"}
        How many rows the tensors of `encode` without a kind have for each text.
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
        self.codebook: Codebook | None = None
        self.compat: Compat | None = None
        self.padding: Padding = "max_length"

    def _open(self, source: object, options: Mapping[str, object]) -> None:
        """Become the model that `by_name.open_model` loads: a module is what its dictionary holds."""
        name = options.get("model_name_or_path", source)
        if not isinstance(name, str | Path):
            raise TypeError(f"a {type(self).__name__} is made of a checkpoint's name, or of a backbone and a tokenizer")
        self.__dict__ = vars(open_model(name, self.architecture, options))

    @overload
    def __call__(self, input_ids: Tensor, attention_mask: Tensor, kind: Kind = "document") -> Output: ...

    @overload
    def __call__(self, texts: Sequence[str], query_mode: bool = True) -> dict[str, Tensor]: ...

    def __call__(self, *args: object, **options: object) -> object:
        """Forward pass over tensors; or over texts, to the tensors that `encode` gives without a kind."""
        named = {**dict(zip(("texts", "query_mode"), args, strict=False)), **options}
        texts = named.get("texts")
        if texts is None or isinstance(texts, Tensor):
            return super().__call__(*args, **options)
        if not isinstance(texts, Sequence) or isinstance(texts, str):
            raise TypeError(f"texts is a {type(texts).__name__}: give a list of texts")
        return by_text.tensors(self, texts, kind_of(bool(named.get("query_mode", True))))

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

        Texts of like length share a batch, so little is spent on padding; on a CPU documents of
        equal length, so that a document's encoding depends on nothing but itself.

        Raises
        ------
        ItemError
            If the model answers NaN or infinity for a text.
        """
        results = [self.empty()] * len(tokens)
        with torch.inference_mode():
            for positions in self._batches(tokens, kind):
                batch = collate(
                    [tokens[i] for i in positions], self.tokenizer, self.formats[kind], self.device, positions
                )
                for i, encoding in zip(positions, self.infer(batch, kind), strict=True):
                    results[i] = encoding
        return results

    def _batches(self, tokens: Sequence[Tokens], kind: Kind) -> list[list[int]]:
        if self.device.type == "cpu":
            return plan(tokens, CPU_TOKENS, padded=kind == "query")
        return plan(tokens, ACCELERATOR_TOKENS)

    @overload
    def encode(self, texts: Sequence[str], kind: Kind, max_length: int = 0) -> list[Encoding]: ...

    @overload
    def encode(
        self, texts: Sequence[str], *, query_mode: bool = True, truncation: bool = ..., add_special_tokens: bool = ...
    ) -> dict[str, Tensor]: ...

    def encode(
        self,
        texts: Sequence[str],
        kind: Kind | None = None,
        max_length: int = 0,
        *,
        query_mode: bool = True,
        truncation: bool = True,
        add_special_tokens: bool = False,
    ) -> list[Encoding] | dict[str, Tensor]:
        """Tokenize and encode texts.

        Parameters
        ----------
        texts : sequence of str
        kind : {"document", "query"} or None
        max_length : int
            In tokens; 0 for the model's own.
        query_mode : bool
            Without a kind: encode queries, or documents.
        truncation, add_special_tokens : bool
            Without effect, as in neural-cherche: the constructor's count.

        Returns
        -------
        list of Encoding
            One for each text, in order.
        dict of name → Tensor
            Without a kind: all texts in one tensor, as neural-cherche gives them; no gradients.
        """
        if kind is not None:
            return self.encode_tokens(self.tokenize(texts, kind, max_length), kind)
        with torch.no_grad():
            return by_text.tensors(self, texts, kind_of(query_mode))

    def scores(
        self, queries: Sequence[str], documents: Sequence[str], batch_size: int = 32, tqdm_bar: bool = True
    ) -> Tensor:
        """Score of each query with its document: the first with the first, and so on.

        Returns
        -------
        Tensor, shape (pairs,)

        Raises
        ------
        ValueError
            If there are more queries than documents, or fewer.
        """
        return by_text.pair_scores(self, queries, documents, batch_size, tqdm_bar)

    def save_pretrained(self, path: str | Path) -> Self:
        """Write the model as `hub.save` does; one of compat 1.4 in neural-cherche's layout."""
        hub = importlib.import_module("cherche_models.hub")  # which imports this module
        if self.compat is None:
            hub.save(self, path)
        else:
            hub.export(self, path, format="neural-cherche")
        return self

    @abstractmethod
    def tensors(self, output: Output, kind: Kind) -> dict[str, Tensor]:
        """What a forward pass gave, by the names and in the shapes of neural-cherche."""

    @abstractmethod
    def pair_scores(self, queries: dict[str, Tensor], documents: dict[str, Tensor]) -> Tensor:
        """Scores of pairs of `tensors`, shape (pairs,)."""

    def rows(self, kind: Kind) -> int:
        """Rows that the tensors of `encode` without a kind have at least."""
        return self.formats[kind].max_length if self.padding == "max_length" else 0

    @abstractmethod
    def empty(self) -> Encoding:
        """The encoding of a text without tokens."""

    def kept(self, tokens: Tokens, kind: Kind) -> list[int]:
        """Positions of the tokens that own a row of `Encoding.embeddings`; none without that head."""
        return []

    def idf(self, tokens: Tokens) -> dict[int, float] | None:
        """Vocabulary id → idf from the model's own table; None without a table."""
        return None
