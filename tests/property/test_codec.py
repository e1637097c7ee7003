from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cherche_models import codec, scores
from cherche_models.codec import CodecError
from cherche_models.types import TokenEmbeddings
from tests.property.strategies import embeddings, term_weights

HEADER = 8


@given(term_weights())
def test_terms_come_back_exactly(weights):
    assert codec.unpack_terms(codec.pack_terms(weights)) == weights


@given(term_weights(largest_id=65_535))
def test_terms_take_at_most_four_bytes_each_and_eleven(weights):
    # A gap of 2**14 or more takes a third byte; three of them fit into 2**16 ids.
    assert len(codec.pack_terms(weights)) <= HEADER + 4 * len(weights) + 3


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


@given(st.lists(st.one_of(st.none(), embeddings(dim=3)), max_size=6))
def test_many_are_unpacked_as_each_alone(documents):
    items = [None if document is None else codec.pack_codes(document) for document in documents]
    packed, failures = codec.unpack_many(items, dim=3)
    alone = [
        TokenEmbeddings(np.empty((0, 3), np.float32)) if item is None else codec.unpack_codes(item) for item in items
    ]
    assert failures == {}
    assert np.array_equal(packed.vectors, np.concatenate([np.empty((0, 3)), *(d.vectors for d in alone)]))
    assert packed.offsets.tolist() == scores.offsets([len(d) for d in alone]).tolist()


damage = st.one_of(
    st.tuples(st.just("set"), st.integers(0, 200), st.integers(0, 255)),
    st.tuples(st.just("cut"), st.integers(0, 200), st.just(0)),
    st.tuples(st.just("add"), st.integers(0, 200), st.integers(0, 255)),
)


def damaged(data, wounds):
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


@given(term_weights(), st.lists(damage, min_size=1, max_size=4))
def test_damaged_terms_are_an_error_or_terms(weights, wounds):
    try:
        found = codec.unpack_terms(damaged(codec.pack_terms(weights), wounds))
    except CodecError:
        return
    assert codec.unpack_terms(codec.pack_terms(found)) == found


@given(embeddings(dim=4), st.lists(damage, min_size=1, max_size=4))
def test_damaged_codes_are_an_error_or_numbers(document, wounds):
    data = damaged(codec.pack_codes(document), wounds)
    packed, failures = codec.unpack_many([data])
    assert np.isfinite(packed.vectors).all()
    if failures:
        with pytest.raises(CodecError, match=re.escape(str(failures[0]))):
            codec.unpack_codes(data)
    else:
        assert np.array_equal(codec.unpack_codes(data).vectors, packed.vectors)


@given(st.binary(max_size=64))
def test_other_bytes_never_crash(data):
    for unpack in (codec.unpack_terms, codec.unpack_codes):
        try:
            unpack(data)
        except CodecError:
            continue
