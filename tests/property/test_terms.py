from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cherche_models import codec
from cherche_models.codec import CodecError
from tests.property.strategies import damaged, term_weights, wounds

HEADER = 8


@given(term_weights())
def test_terms_come_back_exactly(weights):
    assert codec.unpack_terms(codec.pack_terms(weights)) == weights


@given(term_weights(largest_id=65_535))
def test_terms_take_at_most_four_bytes_each_and_eleven(weights):
    # A gap of 2**14 or more takes a third byte; three of them fit into 2**16 ids.
    assert len(codec.pack_terms(weights)) <= HEADER + 4 * len(weights) + 3


@given(term_weights(), wounds)
def test_damaged_terms_are_an_error_or_terms(weights, wounds):
    try:
        found = codec.unpack_terms(damaged(codec.pack_terms(weights), wounds))
    except CodecError:
        return
    assert codec.unpack_terms(codec.pack_terms(found)) == found


@given(st.binary(max_size=64))
def test_other_bytes_never_crash(data):
    if not data.startswith(b"CT"):
        with pytest.raises(CodecError):
            codec.unpack_terms(data)
    try:
        codec.unpack_terms(b"CT\x01" + data)
    except CodecError:
        return
