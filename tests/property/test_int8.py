from __future__ import annotations

import numpy as np
from hypothesis import given

from cherche_models import codec
from tests.property.strategies import embeddings


@given(embeddings(dim=5, largest=2.0**16))
def test_codes_are_half_a_step_away_at_most(document):
    found = codec.unpack_codes(codec.pack_codes(document)).vectors
    peaks = np.abs(document.vectors).max(axis=1, initial=0.0)[:, None]
    bound = np.maximum(peaks / 254 * (1 + 2.0**-10), 4e-6)
    assert (np.abs(found - document.vectors) <= bound).all()


@given(embeddings(dim=5, min_tokens=1))
def test_packing_twice_changes_nothing_more(document):
    once = codec.unpack_codes(codec.pack_codes(document))
    twice = codec.unpack_codes(codec.pack_codes(once))
    assert np.allclose(once.vectors, twice.vectors, rtol=2e-3, atol=1e-5)
