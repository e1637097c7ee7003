"""What a backfill encodes, what it leaves alone, and what it says of the rest."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sidecar.engines.embedded import EmbeddedEngine
from sidecar.errors import ChercheError, Code
from sidecar.maintenance.backfill import backfill
from sidecar.maintenance.setup import resolve
from sidecar.pipeline import Context, PageSigner
from sidecar.testing import FakeModel
from sidecar.values.documents import StoredDocument, WriteResult
from sidecar.values.index import IndexMeta, IndexOptions
from sidecar.values.maintenance import BackfillEvent, BackfillOptions, Estimate, Load, NotDone, Progress, Room
from tests.unit.sidecar.conftest import FakeEncoder, FakeEncoders

INDEX = "articles"


class Interrupted(EmbeddedEngine):
    """Lets a test do something before documents are written, and answer for a cluster."""

    before: Callable[[Sequence[StoredDocument]], Awaitable[None]] | None = None
    loads: list[Load]
    disk: Room | None = None

    async def update(self, documents: Sequence[StoredDocument]) -> list[WriteResult]:
        if self.before is not None and documents:
            await self.before(documents)
        return await super().update(documents)

    async def load(self) -> Load | None:
        return self.loads.pop(0) if getattr(self, "loads", None) else None

    async def room(self, index: str) -> Room | None:
        return self.disk


class World:
    """An index of plain documents, and a model that counts what it encodes."""

    def __init__(self, engine: Interrupted) -> None:
        self.engine = engine
        self.encoder = FakeEncoder(FakeModel())
        self.context = Context(engine, FakeEncoders([self.encoder]), PageSigner(b"k" * 16))

    async def fill(self, count: int, text: str = "words") -> IndexMeta:
        """As after `remove`: documents are there, weights are not."""
        meta = resolve(IndexOptions(), self.context)
        await self.engine.setup(INDEX, meta)
        await self.write(*((str(i), {"title": f"title {i}", "text": f"{text} {i}"}) for i in range(count)))
        return meta

    async def write(self, *documents: tuple[str, dict[str, Any]]) -> None:
        """As another client would, that knows nothing of weights."""
        plain = [StoredDocument(id, source, state="pending") for id, source in documents]
        answers = await self.engine.write(INDEX, plain)
        assert not [answer.error for answer in answers if answer.error]

    async def run(self, **options: Any) -> list[BackfillEvent]:
        return [event async for event in backfill(INDEX, BackfillOptions(**options), self.context)]

    @property
    def encoded(self) -> int:
        """Texts that went through the model."""
        return sum(count for _, count in self.encoder.calls)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    engine = Interrupted(tmp_path / "index.sqlite")
    yield World(engine)
    await engine.aclose()


def last(events: Sequence[BackfillEvent]) -> Progress:
    found = events[-1]
    assert isinstance(found, Progress)
    assert found.finished
    return found


def not_done(events: Sequence[BackfillEvent]) -> list[NotDone]:
    return [event for event in events if isinstance(event, NotDone)]


async def test_every_document_is_encoded_once(world: World) -> None:
    await world.fill(300)
    done = last(await world.run())
    assert (done.encoded, done.failed, done.skipped, done.conflicts) == (300, 0, 0, 0)
    assert world.encoded == 300 + 64, "64 were encoded for the estimate"
    assert (await world.engine.stats(INDEX)).encoded == 300
    assert world.encoder.lanes == ["backfill"] * len(world.encoder.lanes)


async def test_a_second_run_encodes_nothing(world: World) -> None:
    await world.fill(100)
    await world.run()
    before = world.encoded
    done = last(await world.run())
    assert (done.encoded, done.kept) == (0, 100)
    assert world.encoded == before + 64


async def test_a_document_whose_text_changed_behind_its_hash_is_encoded_again(world: World) -> None:
    await world.fill(20)
    await world.run()
    stored = (await world.engine.read(INDEX, ["7"]))["7"]
    stale = StoredDocument("7", {"title": "another", "text": "text"}, stored.hash, "ok", {}, stored.terms, stored.codes)
    await world.engine.write(INDEX, [stale])
    assert last(await world.run()).encoded == 1
    assert (await world.engine.read(INDEX, ["7"]))["7"].hash != stored.hash


async def test_a_newer_write_wins_and_is_encoded_by_a_later_round(world: World) -> None:
    await world.fill(10)
    written: list[str] = []

    async def overtake(documents: Sequence[StoredDocument]) -> None:
        if not written:
            written.append("3")
            await world.write(("3", {"title": "newer", "text": "write"}))

    world.engine.before = overtake
    done = last(await world.run())
    assert (done.encoded, done.conflicts) == (10, 1)
    stored = (await world.engine.read(INDEX, ["3"]))["3"]
    assert (stored.source["title"], stored.state) == ("newer", "ok")


async def test_what_is_written_during_the_run_is_encoded_too(world: World) -> None:
    await world.fill(10)
    added: list[str] = []

    async def add(documents: Sequence[StoredDocument]) -> None:
        if len(added) < 3:
            added.append(f"new {len(added)}")
            await world.write((added[-1], {"title": "new", "text": added[-1]}))

    world.engine.before = add
    assert last(await world.run()).encoded == 13
    assert (await world.engine.stats(INDEX)).encoded == 13


async def test_documents_that_cannot_be_encoded_are_named_and_their_neighbours_done(world: World) -> None:
    await world.fill(3)
    await world.write(("empty", {"title": "", "year": 1998}), ("poison", {"title": "poison", "text": "x"}))
    events = await world.run()
    done = last(events)
    assert (done.encoded, done.skipped, done.failed) == (3, 1, 1)
    assert {(one.id, one.why, one.error.code) for one in not_done(events)} == {
        ("empty", "skipped", Code.INVALID_ARGUMENT),
        ("poison", "failed", Code.INTERNAL),
    }


async def test_weights_of_a_text_that_is_gone_are_taken_away(world: World) -> None:
    await world.fill(2)
    await world.run()
    stored = (await world.engine.read(INDEX, ["0"]))["0"]
    emptied = StoredDocument("0", {"title": "", "text": ""}, stored.hash, "ok", {}, stored.terms, stored.codes)
    await world.engine.write(INDEX, [emptied])
    assert last(await world.run()).skipped == 1
    assert (await world.engine.read(INDEX, ["0"]))["0"].terms is None


async def test_a_run_goes_on_from_its_checkpoint(world: World) -> None:
    await world.fill(0)
    for i in range(300):
        await world.write((str(i), {"title": f"title {i}", "text": f"text {i}"}))
    checkpoint = ""
    async for event in backfill(INDEX, BackfillOptions(), world.context):
        if isinstance(event, Progress) and event.encoded >= 128:
            checkpoint = event.checkpoint
            break
    left = 300 - (await world.engine.stats(INDEX)).encoded
    events = await world.run(checkpoint=checkpoint)
    done = last(events)
    assert 0 < done.encoded == left < 300
    assert next(event for event in events if isinstance(event, Progress)).read <= 300 - 100
    assert (await world.engine.stats(INDEX)).encoded == 300


async def test_a_checkpoint_of_another_index_counts_for_nothing(world: World) -> None:
    await world.fill(10)
    other = json.dumps({"version": 1, "read": {"another/0/encoding": 10_000}})
    assert last(await world.run(checkpoint=other)).encoded == 10


async def test_a_resumed_run_finds_what_the_one_before_left_behind(world: World) -> None:
    await world.fill(10)
    [shard] = await world.engine.shards(INDEX)
    await world.run()
    await world.write(("3", {"title": "left", "text": "behind"}))
    [now] = await world.engine.shards(INDEX)
    finished = [e.checkpoint for e in await world.run() if isinstance(e, Progress) and e.checkpoint][-1]
    await world.engine.write(INDEX, [StoredDocument("3", {"title": "left"}, "", "pending")])
    key = next(iter(json.loads(finished)["read"]))
    past = json.dumps({"version": 1, "read": {key: now.mark + 1000}})
    assert shard.mark < now.mark
    assert last(await world.run(checkpoint=past)).encoded == 1


async def test_a_checkpoint_that_is_none_is_refused(world: World) -> None:
    await world.fill(1)
    with pytest.raises(ChercheError, match="checkpoint cannot be read"):
        await world.run(checkpoint="{")


async def test_a_dry_run_encodes_a_sample_and_writes_nothing(world: World) -> None:
    await world.fill(100)
    [estimate] = await world.run(dry_run=True)
    assert isinstance(estimate, Estimate)
    assert (estimate.documents, estimate.to_encode, estimate.sampled) == (100, 100, 64)
    assert estimate.stored_bytes > 100
    assert (await world.engine.stats(INDEX)).encoded == 0


async def test_a_disk_that_may_not_suffice_is_refused_before_anything_is_written(world: World) -> None:
    await world.fill(10)
    world.engine.disk = Room(free=1, store=1000, copies=2)
    with pytest.raises(ChercheError, match="low disk watermark") as caught:
        await world.run()
    assert caught.value.code is Code.FAILED_PRECONDITION
    assert (await world.engine.stats(INDEX)).encoded == 0
    assert last(await world.run(ignore_disk=True)).encoded == 10


async def test_an_index_that_is_not_set_up_is_refused(world: World) -> None:
    await world.fill(1)
    await world.engine.remove(INDEX)
    with pytest.raises(ChercheError, match="cherche setup articles"):
        await world.run()


async def test_a_model_that_is_not_served_is_named(world: World) -> None:
    await world.fill(1)
    other = replace(world.context, encoders=FakeEncoders([FakeEncoder(FakeModel(name="other"))]))
    with pytest.raises(ChercheError, match="'fake'"):
        async for _ in backfill(INDEX, BackfillOptions(), other):
            pass


async def test_a_cluster_that_refuses_writes_is_given_time(world: World) -> None:
    await world.fill(300)
    naps: list[float] = []

    async def sleep(seconds: float) -> None:
        naps.append(seconds)

    ticks = iter(range(10_000))
    world.context = replace(world.context, sleep=sleep, clock=lambda: float(next(ticks)))
    world.engine.loads = [Load(rejected, 0, 2, 0, 0.0) for rejected in (0, 0, 4, 9, 9)]
    assert last(await world.run(search_slowdown=0.0)).encoded == 300
    assert naps[:2] == [0.25, 0.5]
