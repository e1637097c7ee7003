from __future__ import annotations

import struct

import numpy as np
import pytest

from cherche_models import codec
from cherche_models.codec import CodecError
from cherche_models.types import TermWeights, TokenEmbeddings

TERMS = codec.pack_terms(TermWeights.from_pairs([(5, 1.0), (300, 0.5)]))
CODES = codec.pack_codes(TokenEmbeddings(np.array([[1.0, -0.5], [0.25, 0.0]], np.float32)))


def test_the_layout_of_packed_terms():
    assert b"CT\x01\x00" + struct.pack("<IHH", 2, 0x7F00, 0x7E00) + b"\x05" + b"\xa7\x02" == TERMS


@pytest.mark.parametrize(
    "pairs", [[], [(0, 1.0)], [(2**32 - 1, 1.0)], [(0, 0.5), (127, 1.0), (128, 2.0), (2**31, 4.0)]]
)
def test_terms_survive(pairs):
    weights = TermWeights.from_pairs(pairs)
    assert codec.unpack_terms(codec.pack_terms(weights)) == weights


def test_a_weight_that_cannot_be_stored_is_refused():
    with pytest.raises(ValueError, match="storable"):
        codec.pack_terms(TermWeights.from_pairs([(1, 0.0)]))


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
