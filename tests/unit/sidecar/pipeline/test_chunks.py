"""Long documents: cut into windows of the model's own tokens, put together again."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cherche_models import codec
from sidecar.errors import ChercheError
from sidecar.maintenance.setup import inherited, resolve
from sidecar.pipeline.chunks import capacity, spans
from sidecar.pipeline.encode import DocumentEncoder, NeuralPart, encode_documents, tokenize_document
from sidecar.pipeline.fingerprint import sha256_of
from sidecar.testing import FakeModel
from sidecar.values.chunks import Chunks
from sidecar.values.index import IndexMeta, IndexOptions, TextField

TEXT = (TextField("text"),)
WORDS = [f"w{i}" for i in range(40)]


def meta(world: Any, fields: tuple[TextField, ...] = TEXT, **options: Any) -> IndexMeta:
    return resolve(IndexOptions(fields=fields, **options), world.context)


async def encode(world: Any, wanted: IndexMeta, *texts: str) -> NeuralPart:
    [part] = await DocumentEncoder.of(wanted, world.encoders).encode([texts], world.context, lane="ingest")
    assert isinstance(part, NeuralPart)
    return part


@given(st.integers(0, 2000), st.integers(1, 60), st.integers(1, 64), st.integers(0, 80))
def test_windows_cover_what_fits_and_no_more(length: int, room: int, most: int, overlap: int) -> None:
    chunks = Chunks(most, overlap)
    kept = min(length, capacity(room, chunks))
    cut = list(spans(kept, room, chunks))
    assert 1 <= len(cut) <= most
    assert (cut[0][0], cut[-1][1]) == (0, kept)
    sizes = [end - start for start, end in cut]
    assert max(sizes) <= room
    assert max(sizes) - min(sizes) <= 1
    assert all(before[1] - after[0] == min(overlap, room // 2) for before, after in pairwise(cut))


async def test_a_long_document_is_encoded_whole(make_world: Callable[..., Any]) -> None:
    world = make_world(FakeModel(max_length=12))
    cut = await encode(world, meta(world, chunks=1), " ".join(WORDS))
    whole = await encode(world, meta(world, chunks=8, chunk_overlap=0), " ".join(WORDS))
    assert cut.truncated
    assert not whole.truncated
    assert len(whole.weights) == len(WORDS)
    header = codec.codes_header(whole.codes or b"")
    assert (header.tokens, header.chunks) == (40, (10, 10, 10, 10))
    everything = FakeModel(max_length=128)
    [encoding] = everything.encode(everything.tokenize([" ".join(WORDS)], "document"), "document")
    assert encoding.weights is not None
    assert encoding.embeddings is not None
    assert np.array_equal(whole.weights.ids, encoding.weights.ids)
    assert np.allclose(codec.unpack_codes(whole.codes or b"").vectors, encoding.embeddings.vectors, atol=0.01)


async def test_windows_share_tokens(make_world: Callable[..., Any]) -> None:
    world = make_world(FakeModel(max_length=12))
    wanted = meta(world, chunks=8, chunk_overlap=4)
    part = await encode(world, wanted, " ".join(WORDS[:16]))
    assert codec.codes_header(part.codes or b"").chunks == (10, 10)
    tokens = await tokenize_document(world.encoder, [" ".join(WORDS[:16])], wanted)
    assert tokens.texts == ("[CLS]", *WORDS[:10], "[SEP]", "[CLS]", *WORDS[6:16], "[SEP]")
    assert len(world.encoder.kept(tokens, "document")) == codec.codes_header(part.codes or b"").tokens


async def test_a_document_that_fits_is_as_it_always_was(make_world: Callable[..., Any]) -> None:
    world = make_world(FakeModel(max_length=12))
    text = " ".join(WORDS[:10])
    assert await encode(world, meta(world, chunks=8), text) == await encode(world, meta(world), text)
    short = await encode(world, meta(world), text)
    assert codec.codes_header(short.codes or b"").chunks == (10,)


async def test_what_lies_beyond_the_last_window_is_counted_as_truncated(make_world: Callable[..., Any]) -> None:
    world = make_world(FakeModel(max_length=12))
    part = await encode(world, meta(world, chunks=2, chunk_overlap=0), " ".join(WORDS))
    assert part.truncated
    assert (part.tokens, len(part.weights)) == (24, 20)


async def test_token_shares_bound_all_windows_together(make_world: Callable[..., Any]) -> None:
    world = make_world(FakeModel(max_length=12))
    fields = (TextField("title", 0.25), TextField("text"))
    wanted = meta(world, fields, chunks=2, chunk_overlap=0)
    tokens = await tokenize_document(world.encoder, [" ".join(WORDS[:9]), " ".join(WORDS[20:])], wanted)
    assert tokens.texts == ("[CLS]", *WORDS[:5], *WORDS[20:25], "[SEP]", "[CLS]", *WORDS[25:35], "[SEP]")
    assert tokens.truncated


async def test_one_broken_window_fails_its_document_alone(make_world: Callable[..., Any]) -> None:
    world = make_world(FakeModel(max_length=12))
    wanted = meta(world, chunks=8)
    texts = [[" ".join(WORDS)], [" ".join([*WORDS, "poison"])], ["unreadable"], [" ".join(WORDS[:3])]]
    found = await encode_documents(world.encoder, texts, wanted, world.context, lane="ingest")
    assert [isinstance(one, ChercheError) for one in found] == [False, True, True, False]


def test_chunks_are_part_of_the_fingerprint_only_where_they_cut(make_world: Callable[..., Any]) -> None:
    world = make_world(FakeModel(max_length=128))
    plain, one = meta(world, chunks=1), meta(world, chunks=1, chunk_overlap=5)
    assert (one.chunks, one.fingerprint) == (Chunks(), plain.fingerprint)
    many = [meta(world, chunks=4), meta(world, chunks=5), meta(world, chunks=4, chunk_overlap=0)]
    assert meta(world, chunks=4, chunk_pooling="rms") == many[0]
    assert meta(world, chunks=1, chunk_pooling="max") == plain
    assert len({each.fingerprint.sparse for each in (plain, *many)}) == 4
    assert len({each.fingerprint.codes for each in (plain, *many)}) == 4
    assert many[0].chunks == Chunks(4, 16)
    assert IndexMeta.from_json(many[0].to_json()) == many[0]


def test_an_index_of_an_earlier_release_keeps_the_maximum_and_its_fingerprint(make_world: Callable[..., Any]) -> None:
    world = make_world(FakeModel(max_length=128))
    old, new = meta(world, chunks=4, chunk_pooling="max"), meta(world, chunks=4)
    stored = old.to_json()
    assert stored["chunks"].pop("pooling") == "max"
    assert IndexMeta.from_json(stored) == old
    # What that release computed, which knew no pooling.
    info = world.encoder.info
    assert old.fingerprint.sparse == sha256_of(["sparse", info.digest, 128, old.prune, old.naming, [4, 16]])
    assert old.fingerprint.sparse != new.fingerprint.sparse
    assert old.fingerprint.codes == new.fingerprint.codes
    assert inherited(IndexOptions(chunks=4), old).chunk_pooling == "max"
    assert inherited(IndexOptions(chunks=4), meta(world, chunks=1)).chunk_pooling == ""


async def test_weights_are_pooled_as_the_index_says(make_world: Callable[..., Any]) -> None:
    world = make_world(FakeModel(max_length=12))
    text = " ".join([*WORDS[:10], *WORDS[:1], *WORDS[10:19]])
    largest, mean = [
        (await encode(world, meta(world, chunks=2, chunk_overlap=0, chunk_pooling=how), text)).weights
        for how in ("max", "rms")
    ]
    ratios = {i: weight / dict(largest.items())[i] for i, weight in mean.items()}
    twice = world.encoder.model.token_id(WORDS[0])
    assert ratios.pop(twice) == pytest.approx(1, abs=0.01)
    assert list(ratios.values()) == pytest.approx([0.5**0.5] * 18, abs=0.01)


def test_an_index_of_an_earlier_release_cuts_nothing(make_world: Callable[..., Any]) -> None:
    stored = meta(make_world(FakeModel())).to_json()
    del stored["chunks"]
    assert IndexMeta.from_json(stored).chunks == Chunks()


@pytest.mark.parametrize(
    "options",
    [{"chunks": 65}, {"chunks": -1}, {"chunks": 2, "chunk_overlap": 65}, {"chunks": 2, "chunk_pooling": "sum"}],
)
def test_bounds(make_world: Callable[..., Any], options: dict[str, Any]) -> None:
    with pytest.raises(ChercheError, match="chunk"):
        meta(make_world(FakeModel(max_length=128)), **options)
