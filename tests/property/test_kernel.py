"""The compiled kernel scores what the reader of codes calls sound and of its width, as numpy does, and nothing else."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cherche_models import codec, scores
from cherche_models.codec import CodecError
from cherche_models.codes import codebook
from cherche_models.kernel.library import Book, Kernel
from cherche_models.types import TokenEmbeddings
from tests.property.strategies import damaged, unit, unit_embeddings, wounds

DIM = 12
BOOK = codebook.register(codebook.train(unit(0, 600), 32))
QUERY = TokenEmbeddings(unit(1, 20))


def readable(data: bytes, name: str) -> bool:
    """Whether these are sound codes of that codec, of the query's width."""
    try:
        codec.unpack_codes(data)
    except CodecError:
        return False
    header = codec.codes_header(data)
    return header.codec == name and header.dim == DIM


def book(name: str) -> Book | None:
    """What the kernel decodes a codec with."""
    if name == "int8":
        return None
    bits = int(name[-1])
    return Book(codec.CODECS[name].number, bits, bytes.fromhex(BOOK.digest)[:8], BOOK.centroids, BOOK.levels[bits])


@st.composite
def codes(draw: st.DrawFn) -> bytes:
    """Codes of a document, in chunks or not, as they were written or damaged."""
    document = draw(unit_embeddings(DIM))
    cut = draw(st.integers(0, len(document)))
    chunks = draw(st.sampled_from([(), (cut, len(document) - cut)]))
    data = codec.pack_codes(document, draw(st.sampled_from(sorted(codec.CODECS))), chunks, BOOK)
    return draw(st.one_of(st.just(data), wounds.map(lambda found: damaged(data, found))))


@settings(max_examples=400)
@given(
    st.lists(st.one_of(st.none(), codes(), st.binary(max_size=40).map(lambda tail: b"CC\x01\x01" + tail)), max_size=4)
)
def test_what_is_scored_is_what_can_be_read(kernels: tuple[Kernel, ...], items: list[bytes | None]) -> None:
    packed, _ = codec.unpack_many(items, DIM)
    expected = scores.maxsim(QUERY, packed)
    largest = max(1.0, float(np.abs(packed.vectors).max(initial=0)))  # a damaged scale may be 65,504
    for kernel, name in itertools.product(kernels, codec.CODECS):
        found, scored = kernel.maxsim(QUERY.vectors, items, book(name))
        assert scored.tolist() == [item is not None and readable(item, name) for item in items]
        tolerance = 1e-5 * largest if name == "int8" else 5e-5
        np.testing.assert_allclose(found[scored], expected[scored], rtol=0, atol=tolerance)
        assert (found[~scored] == -np.inf).all()


@given(st.permutations(range(30)), st.integers(0, 29))
def test_a_score_depends_on_no_order_and_no_neighbour(kernels: tuple[Kernel, ...], order: list[int], at: int) -> None:
    vectors = unit(5, 30)
    whole = codec.pack_codes(TokenEmbeddings(vectors))
    shuffled = codec.pack_codes(TokenEmbeddings(vectors[order]))
    alone = kernels[0].maxsim(QUERY.vectors, [whole])[0][0]
    others = [codec.pack_codes(TokenEmbeddings(vectors[: at + 1])), shuffled, whole]
    for kernel in kernels:
        found, _ = kernel.maxsim(QUERY.vectors, others)
        assert found[1] == found[2] == alone
