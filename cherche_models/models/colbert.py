"""ColBERT: one L2-normalised vector per token.

Khattab & Zaharia 2020: a bias-free projection of the last hidden states; queries
filled up with ``[MASK]``, punctuation of documents left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Unpack, overload

import numpy as np
import torch
from torch import Tensor, nn

from cherche_models.backbone import Backbone
from cherche_models.errors import CheckpointError, ItemError
from cherche_models.kernel.short import unit_rows
from cherche_models.layouts.checkpoint import BIAS, COLBERT, LINEAR, Checkpoint, Head
from cherche_models.layouts.dense import Dense, layers
from cherche_models.models.base import Model, Output
from cherche_models.models.compat import Options, widen
from cherche_models.runtime.batches import Batch
from cherche_models.runtime.pairs import maxsim_pairs
from cherche_models.tokenizer import Kind, TextFormat, Tokenizer
from cherche_models.types import Encoding, TokenEmbeddings, Tokens


class Layer(nn.Module):
    """A map before the last: ``activation(W x + b)``, plus the input where it is residual.

    Parameters
    ----------
    dense : Dense
        As a checkpoint holds it.
    """

    def __init__(self, dense: Dense) -> None:
        super().__init__()
        self.linear = _linear(dense.weight, dense.bias)
        self.activation = dense.activation
        self.is_residual = dense.residual is not None
        # Of equal widths the input is added as it is.
        wide = dense.residual is not None and dense.residual.shape[0] != dense.residual.shape[1]
        self.residual = _linear(dense.residual) if dense.residual is not None and wide else None
        self._activate: nn.Module = getattr(nn, dense.activation)()

    def forward(self, hidden: Tensor) -> Tensor:
        """Same leading shape."""
        mapped: Tensor = self._activate(self.linear(hidden))
        if not self.is_residual:
            return mapped
        return mapped + (hidden if self.residual is None else self.residual(hidden))

    def tensors(self) -> dict[str, Tensor]:
        """The map's tensors by the names that a checkpoint has for them."""
        found = {"weight": self.linear.weight, "bias": self.linear.bias}
        if self.is_residual:
            same = torch.eye(self.linear.out_features, dtype=self.linear.weight.dtype)
            found["residual"] = same if self.residual is None else self.residual.weight
        return {name: tensor for name, tensor in found.items() if tensor is not None}


class Projection(nn.Module):
    """From hidden states to unit vectors, and which tokens have one.

    Parameters
    ----------
    in_features, dim : int
    skip : iterable of int
        Token ids that own no vector in a document.
    layers : sequence of Layer
        Applied before the last map, whose width is then that of the last of them.
    bias : bool
        Whether the last map has one.
    skip_first : bool
        Whether the first token, ``[CLS]``, owns no vector, in queries neither.
    """

    skip: Tensor

    def __init__(
        self,
        in_features: int,
        dim: int,
        skip: Iterable[int] = (),
        *,
        layers: Sequence[Layer] = (),
        bias: bool = False,
        skip_first: bool = False,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.linear = nn.Linear(in_features, dim, bias=bias)
        self.skip_first = skip_first
        self.register_buffer("skip", torch.tensor(sorted(set(skip)), dtype=torch.long), persistent=False)

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> Projection:
        """The projection that a checkpoint holds; a random one where it holds none."""
        size, head = checkpoint.backbone.hidden_size, checkpoint.heads.get(COLBERT)
        if head is None:
            return cls(size, checkpoint.dim)
        weight, bias = head.tensor(LINEAR), head.tensors.get(BIAS)
        first = head.tensor("layers.0.weight") if head.config.get("layers") else weight
        if first.shape[1] != size:
            raise CheckpointError(
                f"{head.source} maps from {first.shape[1]} dimensions, the encoder has {size}",
                "restore both from one checkpoint",
            )
        found = (checkpoint.tokenizer.id_of(word) for word in head.config.get("skiplist_words", []))
        projection = cls(
            weight.shape[1],
            weight.shape[0],
            [i for i in found if i is not None],
            layers=[Layer(layer) for layer in layers(head)],
            bias=bias is not None,
            skip_first=bool(head.config.get("skip_first", False)),
        )
        projection.linear.weight.data = weight
        if bias is not None:
            projection.linear.bias.data = bias
        return projection

    def head(self, tokenizer: Tokenizer) -> Head:
        """The projection as a checkpoint holds it."""
        weight, bias = self.linear.weight, self.linear.bias
        shape = {"in_features": weight.shape[1], "out_features": weight.shape[0], "bias": bias is not None}
        config = {**shape, "skiplist_words": [tokenizer.vocabulary[i] for i in self.skip.tolist()]}
        tensors: dict[str, Tensor] = {LINEAR: weight} if bias is None else {LINEAR: weight, BIAS: bias}
        if found := [layer for layer in self.layers if isinstance(layer, Layer)]:
            config["layers"] = [layer.activation for layer in found]
            for i, layer in enumerate(found):
                tensors |= {f"layers.{i}.{name}": tensor for name, tensor in layer.tensors().items()}
        return Head(tensors, {**config, "skip_first": True} if self.skip_first else config)

    def forward(self, hidden: Tensor) -> Tensor:
        """Unit vectors, same leading shape, float32."""
        mapped = hidden.to(self.linear.weight.dtype)
        for layer in self.layers:
            mapped = layer(mapped)
        # In float32, as bfloat16 would leave lengths up to 0.4 % off.
        return nn.functional.normalize(self.linear(mapped).float(), dim=-1)

    def graph_outputs(self, input_ids: Tensor, attention_mask: Tensor, hidden: Tensor) -> dict[str, Tensor]:
        """``token_embeddings`` and ``token_mask``; see `Model.graph_outputs`."""
        own = attention_mask.bool()
        if self.skip_first:
            own = own & (attention_mask.cumsum(1) > 1)
        if self.skip.numel():
            own = own & ~(input_ids.unsqueeze(-1) == self.skip).any(-1)  # `isin` has no counterpart in ONNX
        return {"token_embeddings": self(hidden), "token_mask": own}

    def mask(self, input_ids: Tensor, real: Tensor, kind: Kind, places: Tensor | None = None) -> Tensor:
        """Bool tensor, as `input_ids`: tokens that own a vector; `places` in their texts are those of a row."""
        if self.skip_first:
            real = real & ((torch.arange(real.shape[1], device=real.device) if places is None else places) > 0)
        if kind == "query" or self.skip.numel() == 0:
            return real
        return real & ~torch.isin(input_ids, self.skip)

    def kept(self, tokens: Tokens, kind: Kind) -> list[int]:
        """Positions of the tokens that own a vector."""
        skipped = set(self.skip.tolist()) if kind == "document" else set()
        first = 1 if self.skip_first else 0
        return [place for place, token in enumerate(tokens.ids) if place >= first and token not in skipped]

    def rows(self, hidden: Tensor, batch: Batch, kind: Kind) -> list[TokenEmbeddings]:
        """Unit vectors of each text, without padding and skipped tokens.

        Raises
        ------
        ItemError
            If a vector holds NaN.
        """
        mask = self.mask(batch.input_ids, batch.real, kind, batch.places)
        # Of every token: what a product of few rows sums depends on how many they are, see `batches.plan_alike`.
        vectors = (self._short_rows(hidden, batch) if batch.short and not self.layers else self(hidden))[mask]
        ends = list(accumulate(batch.counts(mask)))
        if not bool(torch.isfinite(vectors).all()):
            row = int((~torch.isfinite(vectors).all(dim=1)).nonzero()[0])
            text = next(i for i, end in enumerate(ends) if row < end)
            raise ItemError(batch.positions[text], "got NaN or infinite embeddings: the model or its type is broken")
        array = vectors.cpu().numpy()
        # Copied: a view would keep the array of the whole batch alive.
        return [TokenEmbeddings(array[start:end].copy()) for start, end in zip([0, *ends], ends, strict=False)]

    def _short_rows(self, hidden: Tensor, batch: Batch) -> Tensor:
        """As `forward`, by what the kernel's texts have wherever their weights are read; see `kernel.short`."""
        weight, bias = self.linear.weight.detach().float(), self.linear.bias
        added = None if bias is None else bias.detach().float().numpy()
        return torch.from_numpy(unit_rows(hidden.float().numpy(), batch.lengths, weight.numpy(), added))

    def no_rows(self) -> TokenEmbeddings:
        """What a text without tokens has."""
        return TokenEmbeddings(np.empty((0, self.linear.out_features), np.float32))


class ColBERT(Model):
    """Token embeddings for MaxSim; a vocabulary head is never run.

    ``ColBERT("folder or hub id", **options)`` loads one: see `compat.Options`.

    Parameters
    ----------
    backbone : Backbone
    tokenizer : Tokenizer
    document, query : TextFormat or None
    dim : int
        Width of a token embedding.
    skip : iterable of int
        Token ids left out of documents.
    """

    architecture = "colbert"
    late_interaction = True
    packable = True
    heads = (COLBERT,)

    @overload
    def __init__(
        self,
        backbone: Backbone,
        tokenizer: Tokenizer,
        document: TextFormat | None = None,
        query: TextFormat | None = None,
        *,
        dim: int = 128,
        skip: Iterable[int] = (),
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
        skip: Iterable[int] = (),
        **by_name: object,
    ) -> None:
        if not isinstance(backbone, Backbone) or tokenizer is None:
            self._open(backbone, by_name)
            return
        super().__init__(backbone, tokenizer, document, query)
        self.projection = Projection(backbone.hidden_size, dim, skip)

    def _build(self, checkpoint: Checkpoint) -> None:
        Model.__init__(self, *checkpoint.parts)
        self.projection = Projection.from_checkpoint(checkpoint)

    def _heads(self) -> dict[str, Head]:
        return {COLBERT: self.projection.head(self.tokenizer)}

    @property
    def dim(self) -> int:
        """Width of a token embedding."""
        return self.projection.linear.out_features

    def forward(self, input_ids: Tensor, attention_mask: Tensor, kind: Kind = "document") -> Output:
        """Unit vectors, shape (batch, length, dim), and the mask of those that count."""
        embeddings = self.projection(self.backbone(input_ids, attention_mask))
        real = scored_mask(input_ids, attention_mask, self.tokenizer, self.formats[kind])
        return Output(embeddings=embeddings, mask=self.projection.mask(input_ids, real, kind))

    def graph_outputs(self, input_ids: Tensor, attention_mask: Tensor, hidden: Tensor) -> dict[str, Tensor]:
        """Those of the projection."""
        return self.projection.graph_outputs(input_ids, attention_mask, hidden)

    def infer(self, batch: Batch, kind: Kind) -> list[Encoding]:
        """Token embeddings of one batch; with compat 1.4 and one row of zeros for a text's padding."""
        hidden = self._runtime_of(batch).hidden_states(batch)
        rows = self.projection.rows(hidden, batch, kind)
        if self.compat:
            rows = [_padded(row, length < self.rows(kind)) for row, length in zip(rows, batch.lengths, strict=True)]
        return [Encoding(None, row) for row in rows]

    def tensors(self, output: Output, kind: Kind) -> dict[str, Tensor]:
        """``embeddings``, shape (texts, maximum length, dim): rows of zeros for what does not count."""
        return {"embeddings": padded_rows(output, self.rows(kind))}

    def pair_scores(self, queries: dict[str, Tensor], documents: dict[str, Tensor]) -> Tensor:
        """MaxSim of each query with its document, shape (pairs,)."""
        return maxsim_pairs(queries["embeddings"], documents["embeddings"], padding_counts=self.compat is not None)

    def kept(self, tokens: Tokens, kind: Kind) -> list[int]:
        """Positions of the tokens that own a row of `Encoding.embeddings`."""
        return self.projection.kept(tokens, kind)

    def empty(self) -> Encoding:
        """No rows."""
        return Encoding(None, self.projection.no_rows())


def _linear(weight: Tensor, bias: Tensor | None = None) -> nn.Linear:
    """A map with these tensors, in their type."""
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    linear.weight.data = weight
    if bias is not None:
        linear.bias.data = bias
    return linear


def padded_rows(output: Output, width: int) -> Tensor:
    """Unit vectors, zeros where there are none, shape (batch, `width` or more, dim)."""
    if output.embeddings is None or output.mask is None:
        raise ValueError("the model gave no token embeddings")
    return widen(output.embeddings * output.mask.unsqueeze(-1), width)


def _padded(rows: TokenEmbeddings, has_padding: bool) -> TokenEmbeddings:
    return TokenEmbeddings(np.pad(rows.vectors, ((0, 1), (0, 0)))) if has_padding else rows


def scored_mask(input_ids: Tensor, attention_mask: Tensor, tokenizer: Tokenizer, style: TextFormat) -> Tensor:
    """Tokens that take part in MaxSim: those attended to, and a query's ``[MASK]`` filling."""
    real = attention_mask.bool()
    return real | (input_ids == tokenizer.mask_id) if style.expand else real
