"""The compiled kernel scores what the reader of codes calls int8 of its width, as numpy does, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cherche_models import codec, scores
from cherche_models.codec import CodecError
from cherche_models.codes import codebook, frame
from cherche_models.kernel import build, library
from cherche_models.kernel.library import Kernel
from cherche_models.types import TokenEmbeddings
from tests.property.strategies import damaged, unit, unit_embeddings, wounds

DIM = 12
BOOK = codebook.register(codebook.train(unit(0, 600), 32))
QUERY = TokenEmbeddings(unit(1, 20))


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory, require: Callable[[str, str], None]) -> tuple[Kernel, ...]:
    folder: Path = tmp_path_factory.mktemp("kernel")
    try:
        return library.load(build.build(folder)).kernels
    except build.BuildError as error:
        require("compiler", str(error))
        raise


def readable(data: bytes) -> bool:
    """Whether these are sound int8 codes of the query's width."""
    try:
        found = frame.read(data)
    except CodecError:
        return False
    return found.codec.name == "int8" and found.body.dim == DIM


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
    for kernel in kernels:
        found, scored = kernel.maxsim(QUERY.vectors, items)
        assert scored.tolist() == [item is not None and readable(item) for item in items]
        np.testing.assert_allclose(found[scored], expected[scored], rtol=0, atol=1e-5 * largest)
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
