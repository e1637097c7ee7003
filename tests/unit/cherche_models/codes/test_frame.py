from __future__ import annotations

import numpy as np
import pytest

from cherche_models import codec
from cherche_models.codec import CodecError
from cherche_models.types import TermWeights, TokenEmbeddings

TERMS = codec.pack_terms(TermWeights.from_pairs([(5, 1.0), (300, 0.5)]))
CODES = codec.pack_codes(TokenEmbeddings(np.array([[1.0, -0.5], [0.25, 0.0]], np.float32)))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not token codes"),
        (TERMS, "not token codes"),
        (CODES[:-1], "18 bytes announced, 17 present"),
        (CODES + b"\x00", "18 bytes announced, 19 present"),
        (b"CC\x03" + CODES[3:], "version 3, this release reads 1"),
        (CODES[:3] + b"\xff" + CODES[4:], "codec 255, which this release does not read: upgrade the sidecar"),
    ],
)
def test_damaged_codes(data, reason):
    with pytest.raises(CodecError, match=reason):
        codec.unpack_codes(data)


def test_rows_of_a_chunked_document_stand_back_to_back() -> None:
    rows = TokenEmbeddings(np.random.default_rng(1).standard_normal((7, 3)).astype(np.float32))
    whole, chunked = codec.pack_codes(rows), codec.pack_codes(rows, chunks=(2, 5))
    assert codec.pack_codes(rows, chunks=(7,)) == whole
    assert len(chunked) == len(whole) + 2 * 4 + 2
    assert (whole[2], chunked[2]) == (codec.VERSION, codec.CHUNKED)
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
        with pytest.raises(CodecError, match="damaged"):
            codec.codes_header(damaged)
    with pytest.raises(ValueError, match="no parts of 4"):
        codec.pack_codes(rows, chunks=(1, 2))
