"""Residual codes: their bytes, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from cherche_models import codec
from cherche_models.codec import CodecError
from cherche_models.codes import codebook
from cherche_models.codes.codebook import Codebook
from cherche_models.codes.codecs import residual
from cherche_models.types import TokenEmbeddings
from tests.property.strategies import unit

BOOK = codebook.register(codebook.train(unit(0, 600), 32))


def test_the_layout_of_residual_codes() -> None:
    """Two tokens, 2 bits: digest, centroids, then length and direction, the first dimension in the lowest bits."""
    even = {bits: np.linspace(-1.5, 1.5, 1 << bits).astype(np.float32) for bits in codebook.BITS}
    book = codebook.register(Codebook(np.array([[1, 0, 0, 0], [0, 0.5, 0, 0]], np.float32), even))
    data = codec.pack_codes(TokenEmbeddings(np.eye(4, dtype=np.float32)[:2]), "residual2", book=book)
    assert data[:10] == b"CC\x01\x03\x04\x00\x02\x00\x00\x00"
    assert data[10:18].hex() == book.digest[:16] == codec.codes_header(data).codebook
    assert data[18:22] == b"\x00\x00\x01\x00"
    (none, _), (half, direction) = data[22:24], data[24:]
    assert (none, half) == (0, 64)
    left = [even[2][(direction >> shift) & 3] for shift in (0, 2, 4, 6)]
    assert left == [-0.5, 1.5, -0.5, -0.5]  # 0 lies between two levels and falls to the lower one


@pytest.mark.parametrize("form", residual.CODECS, ids=lambda form: form.name)
def test_what_is_quantised_has_the_width_it_is_said_to_have(form: residual.Residual) -> None:
    vectors = unit(2, 30)
    ids, packed = form.quantise(vectors, BOOK)
    assert (ids.shape, packed.shape) == ((30,), (30, form.width(12)))
    found = form.restore(ids, packed, BOOK)
    assert np.array_equal(
        found, codec.unpack_codes(codec.pack_codes(TokenEmbeddings(vectors), form.name, (), BOOK)).vectors
    )


def test_codes_of_an_unknown_codebook_name_it() -> None:
    other = codebook.train(unit(9, 100), 8)
    data = codec.pack_codes(TokenEmbeddings(unit(1, 3)), "residual2", book=other)
    with pytest.raises(CodecError, match=f"codebook {other.digest[:16]}, which no model here has"):
        codec.unpack_codes(data)
    assert codec.codes_header(data).codebook == other.digest[:16]
    _, failures = codec.unpack_many([data])
    assert list(failures) == [0]


def test_codes_that_do_not_fit_their_codebook_are_damaged() -> None:
    data = codec.pack_codes(TokenEmbeddings(unit(1, 3)), "residual2", book=BOOK)
    with pytest.raises(CodecError, match="a centroid beyond the 32"):
        codec.unpack_codes(data[:18] + b"\x20\x00" + data[20:])
    narrow = codebook.register(codebook.train(unit(3, 100, 8), 8))
    with pytest.raises(CodecError, match="12 dimensions, their codebook 8"):
        codec.unpack_codes(data[:10] + bytes.fromhex(narrow.digest)[:8] + data[18:])


def test_what_residual_codes_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="length 1"):
        codec.pack_codes(TokenEmbeddings(2 * unit(1, 3)), "residual2", book=BOOK)
    with pytest.raises(ValueError, match="needs a codebook"):
        codec.pack_codes(TokenEmbeddings(unit(1, 3)), "residual2")
    with pytest.raises(ValueError, match="the codebook 12"):
        codec.pack_codes(TokenEmbeddings(unit(1, 3, 8)), "residual2", book=BOOK)
