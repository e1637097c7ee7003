"""Residual codes: how near they are, that they come back, and what damage does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cherche_models import bodies, codec
from cherche_models.codec import CodecError
from cherche_models.codes import codebook, residual
from cherche_models.codes.pool import pool
from cherche_models.types import TokenEmbeddings
from tests.property.test_codec import damage, damaged

DIM = 12
FORMS = ["int8", "residual4", "residual2", "residual1"]


def unit(seed: int, tokens: int, dim: int = DIM) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((tokens, dim)).astype(np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


BOOK = codebook.register(codebook.train(unit(0, 600), 32))
documents = st.builds(lambda seed, tokens: TokenEmbeddings(unit(seed, tokens)), st.integers(0, 999), st.integers(0, 40))


@given(documents, st.sampled_from(["residual4", "residual2", "residual1"]))
def test_a_residual_is_half_a_gap_away_at_most(document, form):
    levels = BOOK.levels[bodies.BITS[form]]
    found = codec.unpack_codes(codec.pack_codes(document, form, book=BOOK)).vectors
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
        for form in FORMS
    ]
    assert errors == sorted(errors)


@given(documents, st.sampled_from(FORMS))
def test_the_size_is_what_it_is_said_to_be(document, form):
    data = codec.pack_codes(document, form, book=BOOK)
    assert len(data) == bodies.HEADER + bodies.size(form, DIM, len(document))


@given(st.lists(st.tuples(documents, st.sampled_from(FORMS)), max_size=6))
def test_documents_of_several_codecs_unpack_as_each_alone(drawn):
    items = [codec.pack_codes(document, form, book=BOOK) for document, form in drawn]
    packed, failures = codec.unpack_many(items, dim=DIM)
    alone = [np.empty((0, DIM), np.float32), *(codec.unpack_codes(item).vectors for item in items)]
    assert failures == {}
    np.testing.assert_allclose(packed.vectors, np.concatenate(alone), atol=1e-6)


@given(documents, st.integers(1, 5))
def test_pooling_keeps_the_share_it_says_and_unit_vectors(document, factor):
    pooled = pool(document, factor)
    assert len(pooled) <= -(-len(document) // factor)
    assert bool(len(pooled)) == bool(len(document))
    np.testing.assert_allclose(np.linalg.norm(pooled.vectors, axis=1), 1, atol=1e-5)


def test_tokens_that_are_equally_unlike_are_not_all_joined():
    """Cut by height, a tree of ties would be one cluster."""
    pooled = pool(TokenEmbeddings(np.eye(16, dtype=np.float32)), 3)
    assert len(pooled) == 6


@given(documents, st.integers(2, 5))
def test_pooling_joins_what_is_alike(document, factor):
    """Every token is nearer to some pooled vector than random vectors are to one another."""
    twice = TokenEmbeddings(np.repeat(document.vectors, factor, axis=0))
    pooled = pool(twice, factor)
    if len(document):
        assert (twice.vectors @ pooled.vectors.T).max(axis=1).min() > 0.999


@given(documents, st.sampled_from(FORMS), st.sampled_from(FORMS))
def test_transcoding_equals_packing_what_was_unpacked(document, before, after):
    data = codec.pack_codes(document, before, book=BOOK)
    again = codec.unpack_codes(codec.transcode(data, after, BOOK)).vectors
    direct = codec.unpack_codes(codec.pack_codes(document, after, book=BOOK)).vectors
    if before == after == "int8":
        np.testing.assert_allclose(again, direct, atol=0.01)
    first = codec.unpack_codes(data).vectors
    assert np.linalg.norm(again - document.vectors) <= (
        np.linalg.norm(first - document.vectors) + np.linalg.norm(again - first) + 1e-5
    )
    assert codec.codes_header(codec.transcode(data, after, BOOK)).codec == after


@settings(max_examples=200)
@given(documents, st.sampled_from(FORMS[1:]), st.lists(damage, min_size=1, max_size=4))
def test_damaged_codes_are_an_error_or_unit_vectors(document, form, wounds):
    data = damaged(codec.pack_codes(document, form, book=BOOK), wounds)
    try:
        found = codec.unpack_codes(data)
    except CodecError:
        return
    assert np.isfinite(found.vectors).all()


def test_the_layout_of_residual_codes():
    """Two tokens, 2 bits: digest, centroids, then length and direction, the first dimension in the lowest bits."""
    even = {bits: np.linspace(-1.5, 1.5, 1 << bits).astype(np.float32) for bits in codebook.BITS}
    book = codebook.register(codebook.Codebook(np.array([[1, 0, 0, 0], [0, 0.5, 0, 0]], np.float32), even))
    data = codec.pack_codes(TokenEmbeddings(np.eye(4, dtype=np.float32)[:2]), "residual2", book=book)
    assert data[:10] == b"CC\x01\x03\x04\x00\x02\x00\x00\x00"
    assert data[10:18].hex() == book.digest[:16]
    assert data[18:22] == b"\x00\x00\x01\x00"
    (none, _), (half, direction) = data[22:24], data[24:]
    assert (none, half) == (0, 64)
    left = [even[2][(direction >> shift) & 3] for shift in (0, 2, 4, 6)]
    assert left == [-0.5, 1.5, -0.5, -0.5]  # 0 lies between two levels and falls to the lower one


def test_chunks_are_pooled_by_themselves():
    vectors = unit(3, 9)
    data = codec.pack_codes(TokenEmbeddings(vectors), "pool2+residual4", [4, 5], BOOK)
    assert codec.codes_header(data).chunks == (2, 3)
    first = codec.unpack_codes(codec.pack_codes(TokenEmbeddings(vectors[:4]), "pool2+residual4", book=BOOK))
    np.testing.assert_allclose(codec.unpack_codes(data).vectors[:2], first.vectors, atol=1e-6)
    assert codec.codes_header(codec.transcode(data, "residual1", BOOK)).chunks == (2, 3)


def test_codes_of_an_unknown_codebook_name_it():
    other = codebook.train(unit(9, 100), 8)
    data = codec.pack_codes(TokenEmbeddings(unit(1, 3)), "residual2", book=other)
    with pytest.raises(CodecError, match=f"codebook {other.digest[:16]}, which no model here has"):
        codec.unpack_codes(data)
    _, failures = codec.unpack_many([data])
    assert list(failures) == [0]


def test_what_residual_codes_cannot_hold_is_refused():
    long = TokenEmbeddings(2 * unit(1, 3))
    with pytest.raises(ValueError, match="length 1"):
        codec.pack_codes(long, "residual2", book=BOOK)
    with pytest.raises(ValueError, match="needs a codebook"):
        codec.pack_codes(TokenEmbeddings(unit(1, 3)), "residual2")
    with pytest.raises(ValueError, match="the codebook 12"):
        codec.pack_codes(TokenEmbeddings(unit(1, 3, 8)), "residual2", book=BOOK)
    for wrong in ("residual3", "pool0+int8", "pool17+int8", "int8+pool2", ""):
        with pytest.raises(ValueError, match="codec"):
            codec.Form.parse(wrong)


def test_a_codebook_comes_back_and_keeps_its_digest(tmp_path):
    path = BOOK.save(tmp_path)
    again = codebook.load(path)
    assert again.digest == BOOK.digest
    np.testing.assert_array_equal(again.centroids, BOOK.centroids)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match="is no codebook"):
        codebook.load(path)
    with pytest.raises(ValueError, match="is no codebook"):
        codebook.load(tmp_path / "absent")


def test_training_lessens_what_is_left_and_repeats_itself():
    groups = np.repeat(unit(5, 6), 50, axis=0) + 0.05 * np.random.default_rng(1).standard_normal((300, DIM))
    vectors = (groups / np.linalg.norm(groups, axis=1, keepdims=True)).astype(np.float32)
    book = codebook.train(vectors, 16)
    assert np.linalg.norm(vectors - book.centroids[book.nearest(vectors)], axis=1).mean() < 0.25
    assert codebook.train(vectors, 16).digest == book.digest
    ids, packed = residual.encode(vectors, book, 4)
    assert (ids.shape, packed.shape) == ((300,), (300, 7))
    with pytest.raises(ValueError, match="give more text"):
        codebook.train(vectors, 301)
