"""What all models share: text formats, batches, checkpoints, and the way to `Encoding`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self, overload

import torch
from torch import Tensor, nn

from cherche_models.backbone import Backbone
from cherche_models.codes.codebook import Codebook
from cherche_models.layouts import table
from cherche_models.layouts.checkpoint import Checkpoint, Head
from cherche_models.models import compat as by_name
from cherche_models.models.compat import Padding, kind_of
from cherche_models.models.output import Output as Output
from cherche_models.runtime import threads
from cherche_models.runtime.batches import Batch, batched, collate, encoded
from cherche_models.runtime.device import pick_device
from cherche_models.runtime.native import Native
from cherche_models.runtime.protocol import Runtime, TorchRuntime
from cherche_models.texts import check_pairs
from cherche_models.tokenizer import Kind, TextFormat, Tokenizer
from cherche_models.types import Compat, Encoding, Tokens
from cherche_models.utils.batches import batchify
from cherche_models.utils.freeze import freeze_layers


class Model(nn.Module, ABC):
    """A retrieval model: tokens in, term weights or token embeddings or both out.

    A new kind of model is a subclass in a file of its own and an entry in `models.ARCHITECTURES`:
    the class attributes say what layouts have to know of it (see `layouts.request.Architecture`),
    `_build` and `_heads` take its weights from a checkpoint and give them to one.

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
    note : str
        What its files were taken for where they do not say it; see `layouts.checkpoint.Checkpoint`.
    dtype_reason : str
        Why `hub.load` gave it its type; empty where the type was named.
    query_table : Tensor, shape (vocabulary,), or None
        Query weight of each term for queries without a forward pass; saved as ``idf.json``. See `train.query_table`.
    compat : {"1.4"} or None
        Scores as that release of neural-cherche has them, defects included.
    padding : {"max_length", "longest"}
        How many rows the tensors of `encode` without a kind have for each text.
    """

    architecture: ClassVar[str]
    sparse: ClassVar[bool] = False
    late_interaction: ClassVar[bool] = False
    heads: ClassVar[tuple[str, ...]] = ()
    from_scratch: ClassVar[bool] = True
    terms: ClassVar[Mapping[Kind, int]] = {}
    runs_on_onnx: ClassVar[bool] = True
    packable: ClassVar[bool] = False

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
        self.note = ""
        self.dtype_reason = ""
        self.query_table: Tensor | None = None
        self.compat: Compat | None = None
        self.padding: Padding = "max_length"

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> Self:
        """Build the model that a checkpoint describes, on the CPU.

        Raises
        ------
        CheckpointError, ValueError
            If its parts do not fit together, or a tensor is missing.
        """
        # Constructors differ by class, and take the name of a checkpoint as well: `_build` runs the right one.
        model = cls.__new__(cls)
        model._restore(checkpoint)
        return model

    def checkpoint(self) -> Checkpoint:
        """The model as a value that layouts can write; it shares the tensors."""
        return Checkpoint(
            self.architecture,
            self.backbone,
            self.tokenizer,
            self.formats,
            self.sparse,
            heads=self._heads(),
            sparse_boost=self.sparse_boost,
            rerank_weight=self.rerank_weight,
            codebook=self.codebook,
            query_table=self.query_table,
            digest=self.digest,
        )

    @abstractmethod
    def _build(self, checkpoint: Checkpoint) -> None:
        """Run the class's own constructor with what the checkpoint holds, and put the heads' tensors in place."""

    def _heads(self) -> dict[str, Head]:
        """The heads by name, as `_build` reads them."""
        return {}

    def _restore(self, checkpoint: Checkpoint) -> None:
        self._build(checkpoint)
        self.sparse_boost, self.rerank_weight = checkpoint.sparse_boost, checkpoint.rerank_weight
        self.codebook, self.digest, self.note = checkpoint.codebook, checkpoint.digest, checkpoint.note
        self.query_table = checkpoint.query_table

    def _open(self, source: object, options: Mapping[str, Any]) -> None:
        """Build the model of a checkpoint's name, with neural-cherche's options."""
        name = options.get("model_name_or_path", source)
        if not isinstance(name, str | Path):
            raise TypeError(f"a {type(self).__name__} is made of a checkpoint's name, or of a backbone and a tokenizer")
        self._restore(by_name.read_by_name(name, type(self), options))
        self.padding = by_name.padding_of(options.get("padding", "max_length"))
        self.compat = options.get("compat")
        self.eval().to(pick_device(options.get("device")))
        if options.get("freeze_layers_except_last_n") is not None:
            freeze_layers(self, options["freeze_layers_except_last_n"])

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
        return self._tensors(texts, kind_of(bool(named.get("query_mode", True))))

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
            If a text is no string, or holds a lone surrogate.
        TypeError
            If `texts` is a single text.
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

        Texts of like length share a batch, so little is spent on padding. On a CPU a document's encoding
        depends on nothing but itself: texts are packed without padding, or those of equal length share a batch.
        Short queries may be run by the compiled kernel instead, see `queries`.

        Raises
        ------
        ItemError
            If the model answers NaN or infinity for a text.
        """
        results = [self.empty()] * len(tokens)
        with torch.inference_mode():
            style, is_document = self.formats[kind], kind == "document"
            packs = self._packs(kind)
            short = self.runtime.short().most if packs and not is_document and self.runtime.native() else 0
            # Queries are few, and share what the kernel writes to.
            side_by_side = threads.workers() if is_document and self.device.type == "cpu" else 1
            fills, on = self.dtype is torch.bfloat16, self.device
            batches = batched(tokens, self.tokenizer, style, on, packs, is_document, short, side_by_side, fills)
            for i, encoding in encoded(batches, lambda batch: self.infer(batch, kind), side_by_side > 1):
                results[i] = encoding
        return results

    @property
    def queries(self) -> str:
        """What runs short queries, and why; measured at the first call. Empty where there is no choice."""
        with torch.inference_mode():
            return self.runtime.short().reason if self._packs("query") or self.device.type == "cuda" else ""

    def _runtime_of(self, batch: Batch) -> Runtime | Native:
        return (self.runtime.native(check=False) if batch.short else None) or self.runtime

    def _packs(self, kind: Kind) -> bool:
        """Whether texts are encoded in packed batches, in which all of their tokens are attended to."""
        style = self.formats[kind]
        return self.packable and (not style.expand or style.attend_expansion) and self.runtime.packs()

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
            return self._tensors(texts, kind_of(query_mode))

    def _tensors(self, texts: Sequence[str], kind: Kind) -> dict[str, Tensor]:
        """One forward pass over all texts, as tensors of neural-cherche."""
        return by_name.tensors(
            self.tokenize(texts, kind), lambda full: self.tensors(self(*self.collate(full, kind), kind), kind)
        )

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
        TypeError, ItemError
            As `texts.check_texts`.
        """
        check_pairs(queries, documents)
        pairs = list(zip(queries, documents, strict=True))
        found = [torch.empty(0, device=self.device)]
        with torch.no_grad():
            for batch in batchify(pairs, batch_size, "scores", tqdm_bar):
                sides = self._tensors([query for query, _ in batch], "query")
                found.append(self.pair_scores(sides, self._tensors([document for _, document in batch], "document")))
        return torch.cat(found)

    def save_pretrained(self, path: str | Path) -> Self:
        """Write the model as `hub.save` does; one of compat 1.4 in neural-cherche's layout."""
        if self.compat is None:
            table.write(self.checkpoint(), Path(path), None)
        else:
            table.export(self.checkpoint(), Path(path), "neural-cherche")
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

    def graph_outputs(self, input_ids: Tensor, attention_mask: Tensor, hidden: Tensor) -> dict[str, Tensor]:
        """Outputs of an exported graph, by name, each where there is such a head.

        ``logits`` (batch, length, vocabulary), for sentence-transformers' ONNX backend, ``term_weights`` (batch,
        vocabulary), ``token_embeddings`` (batch, length, dim) and ``token_mask`` (batch, length), for documents.
        """
        return {}

    @abstractmethod
    def empty(self) -> Encoding:
        """The encoding of a text without tokens."""

    def kept(self, tokens: Tokens, kind: Kind) -> list[int]:
        """Positions of the tokens that own a row of `Encoding.embeddings`; none without that head."""
        return []

    def idf(self, tokens: Tokens) -> dict[int, float] | None:
        """Vocabulary id → query weight from the model's own table; None without a table."""
        if self.query_table is None:
            return None
        own = sorted(i for i in set(tokens.ids) if i < len(self.query_table))
        found = zip(own, self.query_table[own].tolist(), strict=True)
        return {i: weight for i, weight in found if weight > 0}
