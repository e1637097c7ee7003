"""What holds for codes of every codec there is."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cherche_models import codec, scores
from cherche_models.codec import CODECS, CodecError
from cherche_models.codes import codebook
from cherche_models.types import TokenEmbeddings
from tests.property.strategies import damaged, embeddings, unit, unit_embeddings, wounds

DIM = 12
HEADER = 10
BOOK = codebook.register(codebook.train(unit(0, 600), 32))
documents = unit_embeddings(DIM)
names = st.sampled_from(sorted(CODECS))


@given(documents, names)
def test_the_size_is_what_it_is_said_to_be(document, name):
    data = codec.pack_codes(document, name, book=BOOK)
    assert len(data) == HEADER + CODECS[name].size(DIM, len(document))


@given(st.lists(st.one_of(st.none(), embeddings(dim=3)), max_size=6))
def test_many_are_unpacked_as_each_alone(drawn):
    items = [None if document is None else codec.pack_codes(document) for document in drawn]
    packed, failures = codec.unpack_many(items, dim=3)
    alone = [
        TokenEmbeddings(np.empty((0, 3), np.float32)) if item is None else codec.unpack_codes(item) for item in items
    ]
    assert failures == {}
    assert np.array_equal(packed.vectors, np.concatenate([np.empty((0, 3)), *(d.vectors for d in alone)]))
    assert packed.offsets.tolist() == scores.offsets([len(d) for d in alone]).tolist()


@given(st.lists(st.tuples(documents, names), max_size=6))
def test_documents_of_several_codecs_unpack_as_each_alone(drawn):
    items = [codec.pack_codes(document, name, book=BOOK) for document, name in drawn]
    packed, failures = codec.unpack_many(items, dim=DIM)
    alone = [np.empty((0, DIM), np.float32), *(codec.unpack_codes(item).vectors for item in items)]
    assert failures == {}
    np.testing.assert_allclose(packed.vectors, np.concatenate(alone), atol=1e-6)


@given(documents, names, names)
def test_transcoding_loses_what_the_two_codecs_lose(document, before, after):
    data = codec.pack_codes(document, before, book=BOOK)
    recoded = codec.transcode(data, after, BOOK)
    first, again = codec.unpack_codes(data).vectors, codec.unpack_codes(recoded).vectors
    if before == after == "int8":
        np.testing.assert_allclose(again, first, atol=0.01)
    assert np.linalg.norm(again - document.vectors) <= (
        np.linalg.norm(first - document.vectors) + np.linalg.norm(again - first) + 1e-5
    )
    assert codec.codes_header(recoded).codec == after


@settings(max_examples=200)
@given(documents, names, wounds)
def test_damaged_codes_are_an_error_or_numbers(document, name, wounds):
    data = damaged(codec.pack_codes(document, name, book=BOOK), wounds)
    packed, failures = codec.unpack_many([data])
    assert np.isfinite(packed.vectors).all()
    if failures:
        with pytest.raises(CodecError, match=re.escape(str(failures[0]))):
            codec.unpack_codes(data)
    else:
        assert np.array_equal(codec.unpack_codes(data).vectors, packed.vectors)


@given(st.binary(max_size=64))
def test_other_bytes_never_crash(data):
    if not data.startswith(b"CC"):
        with pytest.raises(CodecError):
            codec.unpack_codes(data)
    try:
        codec.unpack_codes(b"CC\x01" + data)
    except CodecError:
        return
