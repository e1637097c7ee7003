"""An index whose codec changes: read as it is, transcoded without the model, refused where nothing fits."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cherche_models.codec import codes_header
from sidecar.engines.embedded import EmbeddedEngine
from sidecar.errors import ChercheError
from sidecar.maintenance.backfill import backfill
from sidecar.maintenance.setup import setup
from sidecar.pipeline import Context, PageSigner, ingest, search
from sidecar.testing import FakeModel
from sidecar.values.documents import SourceDocument
from sidecar.values.index import IndexOptions
from sidecar.values.maintenance import BackfillOptions
from sidecar.values.search import RerankStatus, SearchRequest, SearchResult
from tests.unit.sidecar.conftest import FakeEncoder, FakeEncoders

INDEX = "articles"
COUNT = 12


class World:
    """An index of some documents, and a model that counts what it encodes."""

    def __init__(self, engine: EmbeddedEngine, model: FakeModel) -> None:
        self.engine = engine
        self.encoder = FakeEncoder(model)
        self.context = Context(engine, FakeEncoders([self.encoder]), PageSigner(b"k" * 16))

    async def setup(self, **options: str) -> tuple[str, ...]:
        result = await setup(INDEX, IndexOptions(**options), self.context, dry_run=False)
        return result.warnings

    async def feed(self) -> list[str]:
        async def documents() -> AsyncIterator[SourceDocument]:
            for i in range(COUNT):
                source = {"title": f"title {i}", "text": f"a text of several words number {i}"}
                yield SourceDocument(str(i), json.dumps(source).encode())

        return [str(result.outcome) async for result in ingest(documents(), INDEX, self.context)]

    async def backfill(self) -> None:
        events = [event async for event in backfill(INDEX, BackfillOptions(search_slowdown=0), self.context)]
        assert events[-1].finished

    async def codecs(self) -> set[str]:
        stored = await self.engine.read(INDEX, [str(i) for i in range(COUNT)])
        assert {one.state for one in stored.values()} == {"ok"}
        return {codes_header(one.codes or b"").codec for one in stored.values()}

    async def search(self) -> SearchResult:
        return await search(SearchRequest(INDEX, "words number 7", rerank=True), self.context)

    @property
    def encoded(self) -> int:
        """Texts that went through the model."""
        return sum(count for _, count in self.encoder.calls)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[EmbeddedEngine]:
    found = EmbeddedEngine(tmp_path / "index.sqlite")
    yield found
    await found.aclose()


@pytest.fixture
async def world(engine: EmbeddedEngine) -> World:
    made = World(engine, FakeModel(codebook=True))
    await made.setup()
    await made.feed()
    return made


def maxsims(result: SearchResult) -> dict[str, float]:
    assert result.rerank.status == RerankStatus.APPLIED
    return {hit.id: hit.parts.maxsim or 0.0 for hit in result.hits}


async def test_codes_are_transcoded_without_the_model(world: World) -> None:
    before = maxsims(await world.search())
    [warning] = await world.setup(codec="residual4")
    assert "12 documents keep their codes of int8" in warning
    assert "cherche backfill articles" in warning
    assert maxsims(await world.search()) == before  # not yet transcoded, and readable
    seen = world.encoded
    await world.backfill()
    assert await world.codecs() == {"residual4"}
    assert world.encoded - seen <= COUNT  # the estimate's sample and the probes, no document
    after = maxsims(await world.search())
    assert after == pytest.approx(before, abs=0.15)
    assert after != before


async def test_what_was_transcoded_is_not_encoded_again(world: World) -> None:
    await world.setup(codec="residual2")
    await world.backfill()
    seen = world.encoded
    await world.feed()
    assert world.encoded == seen
    assert await world.codecs() == {"residual2"}


async def test_one_codec_after_the_other_and_back(world: World) -> None:
    for codec in ("residual1", "pool2+residual4", "int8"):
        await world.setup(codec=codec)
        await world.backfill()
        assert await world.codecs() == {codec.rpartition("+")[2]}


async def test_pooling_makes_fewer_rows(world: World) -> None:
    tokens = {id: codes_header(one.codes or b"").tokens for id, one in (await world.engine.read(INDEX, ["3"])).items()}
    await world.setup(codec="pool2+int8")
    await world.backfill()
    pooled = {id: codes_header(one.codes or b"").tokens for id, one in (await world.engine.read(INDEX, ["3"])).items()}
    assert pooled["3"] <= -(-tokens["3"] // 2)


async def test_a_new_index_is_fed_in_its_codec(engine: EmbeddedEngine) -> None:
    world = World(engine, FakeModel(codebook=True))
    await world.setup(codec="pool2+residual2")
    await world.feed()
    assert await world.codecs() == {"residual2"}
    assert maxsims(await world.search())


async def test_setting_up_again_keeps_the_codec(world: World) -> None:
    await world.setup(codec="residual2")
    assert not [note for note in await world.setup() if "int8" in note]
    meta = await world.engine.meta(INDEX)
    assert meta is not None
    assert meta.codec == "residual2"


async def test_a_model_without_a_codebook_is_refused_with_the_way_to_one(engine: EmbeddedEngine) -> None:
    world = World(engine, FakeModel())
    with pytest.raises(ChercheError, match=r"has no codebook.*cherche codebook"):
        await world.setup(codec="residual2")


async def test_another_codebook_does_not_pass_for_the_first(world: World, engine: EmbeddedEngine) -> None:
    await world.setup(codec="residual2")
    other = World(engine, FakeModel())
    with pytest.raises(ChercheError, match="not served here"):
        await other.backfill()
