"""A codebook for a model's token embeddings, from texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice

import numpy as np

from cherche_models.codes import codebook
from cherche_models.codes.codebook import CENTROIDS, Codebook
from cherche_models.models.base import Model

TOKENS_PER_CENTROID = 256
_BATCH = 64


def train_codebook(
    model: Model,
    texts: Iterable[str],
    centroids: int = CENTROIDS,
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, wanted: None,
) -> Codebook:
    """Encode documents until there are tokens enough, and fit centroids and levels to them.

    Parameters
    ----------
    model : Model
        With token embeddings; it gets the codebook.
    texts : iterable of str
        Documents, in an order that is no order: the first some thousand are read.
    centroids : int
        Fewer where the texts have too few tokens: one for each four of them at most.
    seed : int
    progress : callable
        Told how many of how many tokens there are.

    Raises
    ------
    ValueError
        If the model has no token embeddings, or the texts no tokens.
    """
    if not model.late_interaction:
        raise ValueError(f"a {model.architecture} model has no token embeddings: there is nothing to make codes of")
    wanted, found, rest = TOKENS_PER_CENTROID * centroids, 0, iter(texts)
    parts: list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = []
    while found < wanted and (batch := list(islice(rest, _BATCH))):
        parts += _vectors(model, batch)
        found = sum(len(part) for part in parts)
        progress(found, wanted)
    if not found:
        raise ValueError("the texts have no tokens: give documents of the kind that will be indexed")
    vectors = np.concatenate(parts)[:wanted]
    model.codebook = codebook.register(codebook.train(vectors, min(centroids, max(1, found // 4)), seed=seed))
    return model.codebook


def _vectors(model: Model, texts: Sequence[str]) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    encodings = model.encode(texts, "document")
    return [one.embeddings.vectors for one in encodings if one.embeddings is not None]
