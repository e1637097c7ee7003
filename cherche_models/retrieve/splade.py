"""Retrieval by a model's term weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cherche_models.models import Model
from cherche_models.retrieve.base import ModelRetriever
from cherche_models.retrieve.sparse import Rows, SparseRetriever, row
from cherche_models.types import Encoding


class Splade(ModelRetriever[Rows], SparseRetriever):
    """Retrieval by dot products of term weights.

    Parameters
    ----------
    key : str
    on : str or sequence of str
    model : Model
        With term weights: SPLADE, a joint model, or an inference-free one, which
        encodes queries without a forward pass.
    device : str or None
        Moves the model there.
    tokenizer_parallelism : str
        No effect; accepted for compatibility with neural-cherche.

    Raises
    ------
    ValueError
        If the model has no term weights.
    """

    kind = "splade"

    def __init__(
        self,
        key: str,
        on: str | Sequence[str],
        model: Model,
        device: str | None = None,
        *,
        tokenizer_parallelism: str = "false",
    ) -> None:
        super().__init__(key, on, model, device)

    def _check(self, model: Model) -> None:
        if not model.sparse:
            raise ValueError(f"a {model.architecture} model has no term weights: use retrieve.ColBERT")

    def _embedding(self, encoding: Encoding) -> Rows:
        return weights_row(encoding, len(self.model.vocabulary))


def weights_row(encoding: Encoding, width: int) -> Rows:
    """Term weights of a text as a sparse row."""
    if encoding.weights is None:
        raise ValueError("the model returned no term weights")
    return row(encoding.weights.ids.astype(np.int64), encoding.weights.weights, width)
