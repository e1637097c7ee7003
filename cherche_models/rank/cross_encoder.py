"""Rerank by a cross-encoder, which reads query and document together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cherche_models.rank.base import Ranker
from cherche_models.tokenizer import Kind


class ScoresPairs(Protocol):
    """`models.CrossEncoder`, that of sentence-transformers, or another scorer of text pairs."""

    def predict(self, pairs: Any, /) -> Any:  # noqa: ANN401  # each library names its arrays differently
        """Scores of (query, document) pairs, in order."""


class CrossEncoder(Ranker[str]):
    """Orders candidates by a cross-encoder; the "embeddings" of documents and queries are their texts.

    Parameters
    ----------
    key : str
    on : str or sequence of str
    model : models.CrossEncoder
        Or any object with ``predict(pairs)``.
    device : str or None
        Moves the model there.
    """

    def __init__(self, key: str, on: str | Sequence[str], model: ScoresPairs, device: str | None = None) -> None:
        super().__init__(key, on)
        moved: Any = model
        self.model: ScoresPairs = model if device is None else moved.to(device)

    def _encode(self, texts: Sequence[str], kind: Kind) -> list[str]:
        return list(texts)

    def _score(self, query: str, documents: list[str]) -> NDArray[np.float32]:
        """Scores; blank texts get -inf, as in all rankers."""
        scores = np.full(len(documents), -np.inf, np.float32)
        filled = [i for i, text in enumerate(documents) if text.strip() and query.strip()]
        if filled:
            found = np.asarray(self.model.predict([(query, documents[i]) for i in filled]), np.float32)
            if found.shape != (len(filled),):
                raise ValueError(f"the cross-encoder returned scores of shape {found.shape} for {len(filled)} pairs")
            scores[filled] = found
        return scores
