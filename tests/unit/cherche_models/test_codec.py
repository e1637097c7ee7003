from __future__ import annotations

import numpy as np
import pytest

from cherche_models import codec, scores
from cherche_models.codes import codebook
from cherche_models.kernel import library
from cherche_models.types import TokenEmbeddings
from tests.property.strategies import unit


def embeddings(*rows):
    return TokenEmbeddings(np.array(rows, np.float32))


CODES = codec.pack_codes(embeddings([1.0, -0.5], [0.25, 0.0]))
BOOK = codebook.register(codebook.train(unit(0, 600), 32))


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (3, 0), (1, 1), (5, 128)])
def test_codes_keep_their_shape(shape):
    vectors = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    data = codec.pack_codes(TokenEmbeddings(vectors))
    assert codec.unpack_codes(data).vectors.shape == shape
    assert codec.codes_header(data) == codec.CodesHeader("int8", shape[1], shape[0], (shape[0],))


@pytest.mark.parametrize("name", codec.CODECS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_broken_embeddings_are_refused(name, value):
    with pytest.raises(ValueError, match="the model is broken"):
        codec.pack_codes(embeddings([1.0, value]), name)


def test_too_wide_embeddings_are_refused():
    with pytest.raises(ValueError, match="65536 dimensions"):
        codec.pack_codes(TokenEmbeddings(np.zeros((1, 65536), np.float32)))


def test_an_unknown_codec_is_refused():
    with pytest.raises(ValueError, match="is not one of int8"):
        codec.pack_codes(embeddings([1.0]), codec="int4")


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


def test_chunks_are_pooled_by_themselves():
    vectors = unit(3, 9)
    data = codec.pack_codes(TokenEmbeddings(vectors), "pool2+residual4", [4, 5], BOOK)
    assert codec.codes_header(data).chunks == (2, 3)
    first = codec.unpack_codes(codec.pack_codes(TokenEmbeddings(vectors[:4]), "pool2+residual4", book=BOOK))
    np.testing.assert_allclose(codec.unpack_codes(data).vectors[:2], first.vectors, atol=1e-6)
    assert codec.codes_header(codec.transcode(data, "residual1", BOOK)).chunks == (2, 3)


@pytest.fixture(params=["numpy", "compiled"])
def way(request, monkeypatch, require):
    """Each MaxSim that there may be."""
    if request.param == "numpy":
        monkeypatch.setattr(library, "installed", lambda: library.Loaded(reason="the kernel was not compiled"))
    elif not library.installed().kernels:
        require("compiler", library.installed().reason)


@pytest.mark.usefixtures("way")
def test_maxsim_is_that_of_the_unpacked_codes():
    vectors = [TokenEmbeddings(unit(seed, tokens)) for seed, tokens in enumerate((5, 1, 40, 9))]
    names = ["int8", "residual4", "pool2+int8", "residual1"]
    items = [codec.pack_codes(one, name, book=BOOK) for one, name in zip(vectors, names, strict=True)]
    query = TokenEmbeddings(unit(9, 20))
    expected = [scores.maxsim(query, scores.pack([codec.unpack_codes(item)]))[0] for item in items]
    np.testing.assert_allclose(codec.maxsim(query, items), expected, atol=1e-5)


@pytest.mark.usefixtures("way")
def test_maxsim_of_what_has_none_is_unknown():
    query = embeddings([0.6, 0.8])
    empty, narrow = codec.pack_codes(TokenEmbeddings(np.empty((0, 2), np.float32))), codec.pack_codes(embeddings([1.0]))
    found = codec.maxsim(query, [CODES, CODES[:-1], None, b"", narrow, empty, CODES])
    assert found.tolist() == [pytest.approx(0.2, abs=0.01), *[-np.inf] * 5, found[0]]
    assert codec.maxsim(query, []).shape == (0,)
    assert codec.maxsim(query, [None, None]).tolist() == [-np.inf] * 2
    assert codec.maxsim(TokenEmbeddings(np.empty((0, 2), np.float32)), [CODES]).tolist() == [-np.inf]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("dim", [512, 513])
def test_maxsim_of_wide_vectors(dim):
    vectors = unit(1, 30, dim)
    expected = (unit(2, 20, dim) @ codec.unpack_codes(codec.pack_codes(TokenEmbeddings(vectors))).vectors.T).max(axis=1)
    found = codec.maxsim(TokenEmbeddings(unit(2, 20, dim)), [codec.pack_codes(TokenEmbeddings(vectors))])
    assert found[0] == pytest.approx(expected.sum(), abs=1e-5)


def test_the_kernel_reads_every_codec_by_itself(monkeypatch, require):
    if not library.installed().kernels:
        require("compiler", library.installed().reason)
    monkeypatch.setattr(codec, "unpack_many", None)
    vectors, query = TokenEmbeddings(unit(3, 40)), TokenEmbeddings(unit(9, 20))
    items = [codec.pack_codes(vectors, f"{pool}{name}", book=BOOK) for name in codec.CODECS for pool in ("", "pool2+")]
    expected = [scores.maxsim(query, scores.pack([codec.unpack_codes(item)]))[0] for item in items]
    np.testing.assert_allclose(codec.maxsim(query, items), expected, atol=5e-5)


@pytest.mark.usefixtures("way")
def test_maxsim_of_codes_of_an_unknown_codebook_is_unknown():
    known = codec.pack_codes(TokenEmbeddings(unit(3, 4)), "residual2", book=BOOK)
    unknown = known[:10] + b"\x00" * 8 + known[18:]
    found = codec.maxsim(TokenEmbeddings(unit(9, 20)), [unknown, known])
    assert np.isneginf(found).tolist() == [True, False]
    assert list(codec.books([unknown, CODES, b"CC"], 12)) == []
    assert [book.bits for book in codec.books([known, unknown], 12)] == [2]
    assert list(codec.books([known], 24)) == []
