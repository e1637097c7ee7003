"""Made-up documents with random weights: what a model would write, without a model."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cherche_models import codec, grid, naming
from cherche_models.types import TermWeights, TokenEmbeddings
from sidecar.errors import ChercheError
from sidecar.values.documents import StoredDocument, WriteResult
from sidecar.values.first_stage import SparseClause
from sidecar.values.index import Fingerprint, IndexMeta, TextField

Send = Callable[..., Awaitable[Any]]

VOCABULARY = (".", "##s", "50%", "a b", *(f"term{number}" for number in range(396)))
NAMES = naming.feature_names(VOCABULARY)
META = IndexMeta(
    model="fake",
    fingerprint=Fingerprint("a" * 64, "b" * 64),
    fields=(TextField("title"), TextField("text")),
    max_length=64,
)


def weights_of(rng: random.Random, terms: int) -> TermWeights:
    """Random term weights on the grid; every text has the tokens ``.`` and ``##s``."""
    ids = sorted({0, 1, *rng.sample(range(len(VOCABULARY)), terms)})
    values = np.array([rng.uniform(0.01, 3.0) for _ in ids], np.float32)
    return TermWeights(np.array(ids, np.uint32), grid.round_to_grid(values))


def encoded(id_: str, source: Mapping[str, Any], weights: TermWeights, hash_: str = "hash") -> StoredDocument:
    """A document with its neural part."""
    vectors = np.full((2, 4), 0.5, np.float32)
    return StoredDocument(
        id=id_,
        source=source,
        hash=hash_,
        state="ok",
        features={NAMES[token]: weight for token, weight in weights.items()},
        terms=codec.pack_terms(weights),
        codes=codec.pack_codes(TokenEmbeddings(vectors)),
    )


def clauses_of(weights: TermWeights) -> tuple[SparseClause, ...]:
    """Query clauses of term weights."""
    return tuple(SparseClause(token, NAMES[token], weight) for token, weight in weights.items())


def refused(results: Sequence[WriteResult]) -> dict[str, ChercheError]:
    """Errors of a write by id."""
    return {result.id: result.error for result in results if result.error is not None}
