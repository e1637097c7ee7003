from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cherche_models.codes.pool import pool
from cherche_models.types import TokenEmbeddings
from tests.property.strategies import unit_embeddings


@given(unit_embeddings(), st.integers(1, 5))
def test_pooling_keeps_the_share_it_says_and_unit_vectors(document, factor):
    pooled = pool(document, factor)
    assert len(pooled) <= -(-len(document) // factor)
    assert bool(len(pooled)) == bool(len(document))
    np.testing.assert_allclose(np.linalg.norm(pooled.vectors, axis=1), 1, atol=1e-5)


@given(unit_embeddings(), st.integers(2, 5))
def test_pooling_joins_what_is_alike(document, factor):
    """Every token is nearer to some pooled vector than random vectors are to one another."""
    twice = TokenEmbeddings(np.repeat(document.vectors, factor, axis=0))
    pooled = pool(twice, factor)
    if len(document):
        assert (twice.vectors @ pooled.vectors.T).max(axis=1).min() > 0.999
