"""Exact MaxSim with every document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cherche_models.models import Model
from cherche_models.retrieve.base import ModelRetriever, Scored
from cherche_models.runtime import torch_maxsim
from cherche_models.runtime.torch_maxsim import PackedTensor
from cherche_models.scores import Packed, maxsim, offsets, pack
from cherche_models.types import Encoding, Floats, TokenEmbeddings

BLOCK = 1 << 17
"""Tokens of documents scored at a time: 64 MiB of float32 at 128 dimensions."""


class ColBERT(ModelRetriever[Floats]):
    """Retrieval by exact MaxSim with every document.

    Parameters
    ----------
    key : str
    on : str or sequence of str
    model : Model
        With token embeddings: ColBERT, or a joint model.
    device : str or None
        Moves the model there; MaxSim runs on the model's device.

    Raises
    ------
    ValueError
        If the model has no token embeddings.
    """

    kind = "colbert"

    def __init__(self, key: str, on: str | Sequence[str], model: Model, device: str | None = None) -> None:
        super().__init__(key, on, model, device)
        self._blocks: list[Packed | PackedTensor] = []

    def _check(self, model: Model) -> None:
        check_late_interaction(model)

    def _embedding(self, encoding: Encoding) -> Floats:
        return token_embeddings(encoding)

    def _build(self) -> None:
        """Concatenate documents into blocks; the index then holds views of their rows, not copies."""
        self._blocks = []
        for keys in _blocks([(key, len(self._documents[key])) for key in self._ids]):
            block = pack([TokenEmbeddings(self._documents[key]) for key in keys])
            views = (block.vectors[start:end] for start, end in pairwise(block.offsets.tolist()))
            self._documents.update(zip(keys, views, strict=True))
            on_cpu = self.model.device.type == "cpu"
            self._blocks.append(block if on_cpu else PackedTensor.of(block, self.model.device))

    def _scores(self, queries: Sequence[Floats], allowed: NDArray[np.bool_] | None) -> Iterator[Scored]:
        embeddings = [TokenEmbeddings(query) for query in queries]
        scores = np.concatenate([_block_scores(embeddings, block) for block in self._blocks], axis=1)
        for row in scores:
            scored = np.isfinite(row) if allowed is None else np.isfinite(row) & allowed
            positions = np.flatnonzero(scored).astype(np.int64)
            yield positions, row[positions]

    def _arrays(self, embeddings: list[Floats]) -> dict[str, NDArray[Any]]:
        packed = pack([TokenEmbeddings(rows) for rows in embeddings])
        return {"vectors": packed.vectors, "offsets": packed.offsets}

    def _embeddings(self, arrays: Mapping[str, NDArray[Any]]) -> list[Floats]:
        return [arrays["vectors"][start:end] for start, end in pairwise(arrays["offsets"].tolist())]


def token_embeddings(encoding: Encoding) -> Floats:
    """Unit vectors of a text, shape (tokens, dim)."""
    if encoding.embeddings is None:
        raise ValueError("the model returned no token embeddings")
    return encoding.embeddings.vectors


def check_late_interaction(model: Model) -> None:
    """Check that a model has token embeddings.

    Raises
    ------
    ValueError
        If it has none.
    """
    if not model.late_interaction:
        raise ValueError(f"a {model.architecture} model has no token embeddings: load a colbert or a joint one")


def _block_scores(queries: Sequence[TokenEmbeddings], block: Packed | PackedTensor) -> NDArray[np.float32]:
    if isinstance(block, PackedTensor):
        return torch_maxsim.maxsim(queries, block)
    return np.stack([maxsim(query, block) for query in queries])


def _blocks(sizes: Sequence[tuple[str | int, int]]) -> Iterator[list[str | int]]:
    """Document ids of each block: up to `BLOCK` tokens, and at least one document."""
    ends = offsets([size for _, size in sizes])
    start = 0
    while start < len(sizes):
        end = max(start + 1, int(np.searchsorted(ends, ends[start] + BLOCK, "right")) - 1)
        yield [key for key, _ in sizes[start:end]]
        start = end
