from __future__ import annotations

import struct

import numpy as np
import pytest

from cherche_models import codec, scores
from cherche_models.codec import CodecError
from cherche_models.types import TermWeights, TokenEmbeddings


def embeddings(*rows):
    return TokenEmbeddings(np.array(rows, np.float32))


TERMS = codec.pack_terms(TermWeights.from_pairs([(5, 1.0), (300, 0.5)]))
CODES = codec.pack_codes(embeddings([1.0, -0.5], [0.25, 0.0]))


def test_the_layout_of_packed_terms():
    assert b"CT\x01\x00" + struct.pack("<IHH", 2, 0x7F00, 0x7E00) + b"\x05" + b"\xa7\x02" == TERMS


def test_the_layout_of_codes():
    scale = np.float16(1 / 127), np.float16(0.25 / 127)
    header = b"CC\x01\x01" + struct.pack("<HI", 2, 2) + np.array(scale, "<f2").tobytes()
    assert header == CODES[:14]
    assert np.frombuffer(CODES[14:], np.int8).tolist() == [127, -64, 127, 0]


@pytest.mark.parametrize(
    "pairs", [[], [(0, 1.0)], [(2**32 - 1, 1.0)], [(0, 0.5), (127, 1.0), (128, 2.0), (2**31, 4.0)]]
)
def test_terms_survive(pairs):
    weights = TermWeights.from_pairs(pairs)
    assert codec.unpack_terms(codec.pack_terms(weights)) == weights


def test_a_weight_that_cannot_be_stored_is_refused():
    with pytest.raises(ValueError, match="storable"):
        codec.pack_terms(TermWeights.from_pairs([(1, 0.0)]))


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (3, 0), (1, 1), (5, 128)])
def test_codes_keep_their_shape(shape):
    vectors = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    data = codec.pack_codes(TokenEmbeddings(vectors))
    assert codec.unpack_codes(data).vectors.shape == shape
    assert codec.codes_header(data) == codec.CodesHeader("int8", shape[1], shape[0], (shape[0],))


def test_zero_vectors_stay_zero():
    assert codec.unpack_codes(codec.pack_codes(embeddings([0.0, 0.0]))).vectors.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_broken_embeddings_are_refused(value):
    with pytest.raises(ValueError, match="the model is broken"):
        codec.pack_codes(embeddings([1.0, value]))


def test_too_wide_embeddings_are_refused():
    with pytest.raises(ValueError, match="65536 dimensions"):
        codec.pack_codes(TokenEmbeddings(np.zeros((1, 65536), np.float32)))


def test_an_unknown_codec_is_refused():
    with pytest.raises(ValueError, match="is not one of int8"):
        codec.pack_codes(embeddings([1.0]), codec="int4")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not packed terms"),
        (b"CT", "not packed terms"),
        (CODES, "not packed terms"),
        (TERMS[:-1], "damaged"),
        (TERMS + b"\x01", "damaged"),
        (TERMS[:10], "cut"),
        (b"CT\x02" + TERMS[3:], "version 2, this release reads 1"),
        (TERMS[:4] + b"\xff\xff\xff\xff" + TERMS[8:], "4294967295 terms announced"),
        (TERMS[:8] + b"\x00\x00" + TERMS[10:], "not positive and finite"),
        (TERMS[:8] + b"\x80\xff" + TERMS[10:], "not positive and finite"),
        (TERMS[:-2] + b"\x80\x00", "do not rise"),
        (TERMS[:-3] + b"\xff\xff\xff\xff\x0f\x01", "do not fit 32 bits"),
        (TERMS[:-3] + b"\xff\xff\xff\xff\xff\x01\x01", "does not fit 32 bits"),
    ],
)
def test_damaged_terms(data, reason):
    with pytest.raises(CodecError, match=reason):
        codec.unpack_terms(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not token codes"),
        (TERMS, "not token codes"),
        (CODES[:-1], "18 bytes announced, 17 present"),
        (CODES + b"\x00", "18 bytes announced, 19 present"),
        (b"CC\x03" + CODES[3:], "version 3, this release reads 1"),
        (CODES[:3] + b"\x09" + CODES[4:], "codec 9"),
        (CODES[:10] + b"\x00\x7c" + CODES[12:], "scale"),
        (CODES[:10] + b"\x01\xfc" + CODES[12:], "scale"),
        (CODES[:12] + b"\x01\x80" + CODES[14:], "scale"),
    ],
)
def test_damaged_codes(data, reason):
    with pytest.raises(CodecError, match=reason):
        codec.unpack_codes(data)


def test_many_documents_unpack_as_each_alone():
    rng = np.random.default_rng(0)
    items = [codec.pack_codes(TokenEmbeddings(rng.standard_normal((n, 8)).astype(np.float32))) for n in (3, 0, 5, 1)]
    packed, failures = codec.unpack_many(items)
    alone = scores.pack([codec.unpack_codes(item) for item in items])
    assert failures == {}
    assert np.array_equal(packed.vectors, alone.vectors)
    assert packed.offsets.tolist() == alone.offsets.tolist() == [0, 3, 3, 8, 9]


def test_a_damaged_document_costs_only_itself():
    narrow = codec.pack_codes(embeddings([1.0]))
    packed, failures = codec.unpack_many([CODES, CODES[:-1], None, narrow, CODES])
    assert packed.offsets.tolist() == [0, 2, 2, 2, 2, 4]
    assert sorted(failures) == [1, 3]
    assert "damaged" in str(failures[1])
    assert "1 dimensions, 2 are wanted" in str(failures[3])


def test_the_querys_width_decides():
    packed, failures = codec.unpack_many([codec.pack_codes(embeddings([1.0])), CODES], dim=2)
    assert (packed.vectors.shape, sorted(failures)) == ((2, 2), [0])


@pytest.mark.parametrize("items", [[], [None], [None, None]])
def test_nothing_to_unpack(items):
    packed, failures = codec.unpack_many(items, dim=4)
    assert (packed.vectors.shape, len(packed), failures) == ((0, 4), len(items), {})


def test_rows_of_a_chunked_document_stand_back_to_back() -> None:
    rows = TokenEmbeddings(np.random.default_rng(1).standard_normal((7, 3)).astype(np.float32))
    whole, chunked = codec.pack_codes(rows), codec.pack_codes(rows, chunks=(2, 5))
    assert codec.pack_codes(rows, chunks=(7,)) == whole
    assert len(chunked) == len(whole) + 2 * 4 + 2
    assert chunked[3 : len(whole)] == whole[3:]
    assert (codec.codes_header(whole).chunks, codec.codes_header(chunked).chunks) == ((7,), (2, 5))
    assert np.array_equal(codec.unpack_codes(chunked).vectors, codec.unpack_codes(whole).vectors)
    packed, failures = codec.unpack_many([whole, chunked, None, chunked])
    assert (packed.offsets.tolist(), failures) == ([0, 7, 14, 14, 21], {})


@pytest.mark.parametrize("cut", [1, 2, 3, 10, 30])
def test_damaged_chunks_are_refused(cut: int) -> None:
    rows = TokenEmbeddings(np.eye(4, dtype=np.float32))
    data = codec.pack_codes(rows, chunks=(1, 3))
    for damaged in (data[:-cut], data[:-10] + b"\x09" + data[-9:], data[:-2] + b"\xff\xff"):
        with pytest.raises(codec.CodecError, match="damaged"):
            codec.codes_header(damaged)
    with pytest.raises(ValueError, match="no parts of 4"):
        codec.pack_codes(rows, chunks=(1, 2))
