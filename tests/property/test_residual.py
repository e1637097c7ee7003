"""Residual codes: how near they are."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cherche_models import codec
from cherche_models.codes import codebook
from cherche_models.codes.codecs import residual
from tests.property.strategies import unit, unit_embeddings

DIM = 12
BOOK = codebook.register(codebook.train(unit(0, 600), 32))
documents = unit_embeddings(DIM)


@given(documents, st.sampled_from(residual.CODECS))
def test_a_residual_is_half_a_gap_away_at_most(document, form):
    levels = BOOK.levels[form.bits]
    found = codec.unpack_codes(codec.pack_codes(document, form.name, book=BOOK)).vectors
    left, norms = codebook.directions(document.vectors - BOOK.centroids[BOOK.nearest(document.vectors)])
    beyond = np.maximum(np.maximum(left - levels[-1], levels[0] - left), 0)
    off = np.linalg.norm(np.maximum(np.diff(levels).max() / 2, beyond), axis=1) / DIM**0.5
    longest = np.abs(levels).max()  # of a direction as its levels have it
    bound = 2 * (norms * off + longest / 256)
    assert (np.linalg.norm(found - document.vectors, axis=1) <= bound + 1e-5).all()
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


@given(documents)
def test_more_bits_are_nearer_on_average(document):
    if len(document) < 8:
        return
    errors = [
        np.linalg.norm(codec.unpack_codes(codec.pack_codes(document, form, book=BOOK)).vectors - document.vectors)
        for form in ("int8", "residual4", "residual2", "residual1")
    ]
    assert errors == sorted(errors)
