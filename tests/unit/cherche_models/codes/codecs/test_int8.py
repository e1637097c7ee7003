from __future__ import annotations

import struct

import numpy as np
import pytest

from cherche_models import codec
from cherche_models.codec import CodecError
from cherche_models.types import TokenEmbeddings

CODES = codec.pack_codes(TokenEmbeddings(np.array([[1.0, -0.5], [0.25, 0.0]], np.float32)))


def test_the_layout_of_codes():
    scale = np.float16(1 / 127), np.float16(0.25 / 127)
    header = b"CC\x01\x01" + struct.pack("<HI", 2, 2) + np.array(scale, "<f2").tobytes()
    assert header == CODES[:14]
    assert np.frombuffer(CODES[14:], np.int8).tolist() == [127, -64, 127, 0]


def test_zero_vectors_stay_zero():
    zero = TokenEmbeddings(np.zeros((1, 2), np.float32))
    assert codec.unpack_codes(codec.pack_codes(zero)).vectors.tolist() == [[0.0, 0.0]]


def test_the_largest_scale_is_held():
    largest = codec.CODECS["int8"].largest
    held = TokenEmbeddings(np.array([[largest, -largest]], np.float32))
    np.testing.assert_allclose(codec.unpack_codes(codec.pack_codes(held)).vectors, held.vectors, rtol=1e-3)
    with pytest.raises(ValueError, match="the model is broken"):
        codec.pack_codes(TokenEmbeddings(np.array([[1.01 * largest, 0.0]], np.float32)))


@pytest.mark.parametrize(
    "data",
    [
        CODES[:10] + b"\x00\x7c" + CODES[12:],
        CODES[:10] + b"\x01\xfc" + CODES[12:],
        CODES[:12] + b"\x01\x80" + CODES[14:],
    ],
)
def test_a_scale_that_is_no_number_is_damage(data):
    with pytest.raises(CodecError, match="a scale is negative, infinite or NaN"):
        codec.unpack_codes(data)
