"""Values that several property tests draw."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cherche_models import grid
from cherche_models.types import TermWeights, TokenEmbeddings

_weights = st.floats(float(np.finfo(np.float32).tiny), 2.0**100, width=32)


def term_weights(largest_id: int = 2**32 - 1, min_size: int = 0) -> st.SearchStrategy[TermWeights]:
    """Term weights of a text, on the grid."""
    pairs = st.dictionaries(st.integers(0, largest_id), _weights, min_size=min_size, max_size=60)
    return pairs.map(lambda drawn: TermWeights.from_pairs(drawn.items())).map(
        lambda raw: TermWeights(raw.ids, grid.round_to_grid(raw.weights))
    )


def embeddings(dim: int, min_tokens: int = 0, largest: float = 1.0) -> st.SearchStrategy[TokenEmbeddings]:
    """Token embeddings of a text, not normalised."""
    shape = st.tuples(st.integers(min_tokens, 8), st.just(dim))
    numbers = st.floats(-largest, largest, width=32)
    return hnp.arrays(np.float32, shape, elements=numbers).map(TokenEmbeddings)


def unit(seed: int, tokens: int, dim: int = 12) -> np.ndarray:
    """Vectors of length 1, shape (tokens, dim)."""
    vectors = np.random.default_rng(seed).standard_normal((tokens, dim)).astype(np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def unit_embeddings(dim: int = 12, min_tokens: int = 0) -> st.SearchStrategy[TokenEmbeddings]:
    """Token embeddings of a text, each of length 1."""
    tokens = st.integers(min_tokens, 40)
    return st.builds(lambda seed, count: TokenEmbeddings(unit(seed, count, dim)), st.integers(0, 999), tokens)


wounds = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(0, 200), st.integers(0, 255)),
        st.tuples(st.just("cut"), st.integers(0, 200), st.just(0)),
        st.tuples(st.just("add"), st.integers(0, 200), st.integers(0, 255)),
    ),
    min_size=1,
    max_size=4,
)


def damaged(data: bytes, wounds: list[tuple[str, int, int]]) -> bytes:
    """Bytes with some set, added or cut off."""
    found = bytearray(data)
    for kind, at, value in wounds:
        at %= max(1, len(found))
        if kind == "set" and found:
            found[at] = value
        elif kind == "cut":
            del found[at:]
        elif kind == "add":
            found.insert(at, value)
    return bytes(found)
