"""Single texts as they leave: weights, codes, and where their time went."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cherche_models import codec, grid
from cherche_models.prune import Prune
from cherche_models.types import TermWeights
from sidecar.errors import ChercheError, Code, invalid
from sidecar.pipeline.encode import storable_weights
from sidecar.values.model import Encoded, Kind
from sidecar.values.search import Timings


def leaving_weights(weights: TermWeights, kind: Kind, prune: Prune) -> TermWeights:
    """Weights as a caller gets them: on the grid for documents, as the model gave them for queries.

    Raises
    ------
    ValueError
        If a document's weight is NaN or infinite.
    """
    if kind == "document":
        return storable_weights(weights, prune)
    kept = np.flatnonzero(grid.storable(weights.weights))
    return prune(TermWeights(weights.ids[kept], weights.weights[kept]))


def scorable_codes(encoded: Encoded, name: str) -> bytes | ChercheError:
    """A text as the codes an index would hold, so that text and index give the same score."""
    embeddings = encoded.encoding.embeddings
    if embeddings is None or not len(embeddings):
        return invalid(f"{name} has no token to compare with", "give it words")
    try:
        return codec.pack_codes(embeddings)
    except ValueError as error:
        return ChercheError(Code.INTERNAL, f"{name}: {error}", "check the model with: cherche doctor")


def slowest(encoded: Sequence[Encoded], total: float) -> Timings:
    """The slowest text's stages: what the call waited for."""
    return Timings(
        tokenize=max((one.tokenize for one in encoded), default=0.0),
        queue=max((one.queue for one in encoded), default=0.0),
        encode=max((one.encode for one in encoded), default=0.0),
        total=total,
    )
