"""Train the residual codec's codebook on a model's token embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
    """Encode documents until there are `TOKENS_PER_CENTROID` tokens per centroid, and fit centroids and levels.

    Parameters
    ----------
    model : Model
        With token embeddings; its codebook is set.
    texts : iterable of str
        Documents in random order: only the first few thousand are read.
    centroids : int
        At most one for every four tokens of the texts.
    seed : int
    progress : callable
        Called with the number of tokens so far and the number wanted.

    Raises
    ------
    ValueError
        If the model has no token embeddings, or the texts have no tokens.
    """
    if not model.late_interaction:
        raise ValueError(f"a {model.architecture} model has no token embeddings: load a colbert or a joint one")
    wanted, found, rest = TOKENS_PER_CENTROID * centroids, 0, iter(texts)
    parts: list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = []
    while found < wanted and (batch := list(islice(rest, _BATCH))):
        encodings = model.encode(batch, "document")
        parts += [one.embeddings.vectors for one in encodings if one.embeddings is not None]
        found = sum(len(part) for part in parts)
        progress(found, wanted)
    if not found:
        raise ValueError("the texts have no tokens: give documents of the kind that will be indexed")
    vectors = np.concatenate(parts)[:wanted]
    model.codebook = codebook.register(codebook.train(vectors, min(centroids, max(1, found // 4)), seed=seed))
    return model.codebook
