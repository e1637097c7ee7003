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
