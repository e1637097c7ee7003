"""Rerank by the vectors of shared terms (SparseEmbed)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cherche_models.models import Model
from cherche_models.rank.base import ModelRanker
from cherche_models.retrieve.sparse_embed import TermVectors, check_sparse_embed, term_scores, term_vectors
from cherche_models.types import Encoding


class SparseEmbed(ModelRanker[TermVectors]):
    """Orders candidates by the dot products of shared terms' vectors.

    Parameters
    ----------
    key : str
    on : str or sequence of str
    model : models.SparseEmbed
    device : str or None
        Moves the model there.
    tokenizer_parallelism : str
        No effect; accepted for compatibility with neural-cherche.

    Raises
    ------
    ValueError
        If the model is not a SparseEmbed model.
    """

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
        check_sparse_embed(model)

    def _embedding(self, encoding: Encoding) -> TermVectors:
        return term_vectors(encoding, len(self.model.vocabulary))

    def _score(self, query: TermVectors, documents: list[TermVectors]) -> NDArray[np.float32]:
        return term_scores(query, documents)
