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
from cherche_models.types import TermWeights
from sidecar.errors import ChercheError
from sidecar.maintenance.setup import resolve
from sidecar.pipeline.chunks import capacity, max_pooled, spans
from sidecar.pipeline.encode import DocumentEncoder, NeuralPart, encode_documents, tokenize_document
from sidecar.testing import FakeModel
from sidecar.values.index import Chunks, IndexMeta, IndexOptions, TextField

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


@given(st.lists(st.dictionaries(st.integers(0, 9), st.floats(0.125, 9, width=32), max_size=6), min_size=1, max_size=5))
def test_pooling_takes_the_largest_weight_of_each_term(parts: list[dict[int, float]]) -> None:
    pooled = max_pooled([TermWeights.from_pairs(part.items()) for part in parts])
    ids = sorted(set().union(*parts))
    assert list(pooled.items()) == [(i, max(part[i] for part in parts if i in part)) for i in ids]


async def test_a_long_document_is_encoded_whole(make_world: Callable[..., Any]) -> None:
    world = make_world(FakeModel(max_length=12))
    cut = await encode(world, meta(world), " ".join(WORDS))
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
    plain, one = meta(world), meta(world, chunks=1, chunk_overlap=5)
    assert (one.chunks, one.fingerprint) == (Chunks(), plain.fingerprint)
    many = [meta(world, chunks=4), meta(world, chunks=5), meta(world, chunks=4, chunk_overlap=0)]
    assert len({each.fingerprint.sparse for each in (plain, *many)}) == 4
    assert len({each.fingerprint.codes for each in (plain, *many)}) == 4
    assert many[0].chunks == Chunks(4, 16)
    assert IndexMeta.from_json(many[0].to_json()) == many[0]


def test_an_index_of_an_earlier_release_cuts_nothing(make_world: Callable[..., Any]) -> None:
    stored = meta(make_world(FakeModel())).to_json()
    del stored["chunks"]
    assert IndexMeta.from_json(stored).chunks == Chunks()


@pytest.mark.parametrize("options", [{"chunks": 65}, {"chunks": -1}, {"chunks": 2, "chunk_overlap": 65}])
def test_bounds(make_world: Callable[..., Any], options: dict[str, Any]) -> None:
    with pytest.raises(ChercheError, match="chunk"):
        meta(make_world(FakeModel(max_length=128)), **options)
