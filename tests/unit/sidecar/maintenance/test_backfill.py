"""What a backfill encodes, what it leaves alone, and what it says of the rest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from sidecar.errors import ChercheError
from sidecar.maintenance.backfill import backfill
from sidecar.testing import FakeModel
from sidecar.values.documents import StoredDocument
from sidecar.values.maintenance import BackfillOptions, Load, Progress
from tests.unit.sidecar.conftest import FakeEncoder, FakeEncoders
from tests.unit.sidecar.maintenance.fakes import INDEX, FileWorld, last


async def test_every_document_is_encoded_once(file_world: FileWorld) -> None:
    await file_world.fill(300)
    done = last(await file_world.run())
    assert (done.encoded, done.failed, done.skipped, done.conflicts) == (300, 0, 0, 0)
    assert file_world.encoded == 300 + 64, "64 were encoded for the estimate"
    assert (await file_world.engine.stats(INDEX)).encoded == 300
    assert file_world.encoder.lanes == ["backfill"] * len(file_world.encoder.lanes)


async def test_a_second_run_encodes_nothing(file_world: FileWorld) -> None:
    await file_world.fill(100)
    await file_world.run()
    before = file_world.encoded
    done = last(await file_world.run())
    assert (done.encoded, done.kept) == (0, 100)
    assert file_world.encoded == before + 64


async def test_a_newer_write_wins_and_is_encoded_by_a_later_round(file_world: FileWorld) -> None:
    await file_world.fill(10)
    written: list[str] = []

    async def overtake(documents: Sequence[StoredDocument]) -> None:
        if not written:
            written.append("3")
            await file_world.write(("3", {"title": "newer", "text": "write"}))

    file_world.engine.before = overtake
    done = last(await file_world.run())
    assert (done.encoded, done.conflicts) == (10, 1)
    stored = (await file_world.engine.read(INDEX, ["3"]))["3"]
    assert (stored.source["title"], stored.state) == ("newer", "ok")


async def test_what_is_written_during_the_run_is_encoded_too(file_world: FileWorld) -> None:
    await file_world.fill(10)
    added: list[str] = []

    async def add(documents: Sequence[StoredDocument]) -> None:
        if len(added) < 3:
            added.append(f"new {len(added)}")
            await file_world.write((added[-1], {"title": "new", "text": added[-1]}))

    file_world.engine.before = add
    assert last(await file_world.run()).encoded == 13
    assert (await file_world.engine.stats(INDEX)).encoded == 13


async def test_a_run_goes_on_from_its_checkpoint(file_world: FileWorld) -> None:
    await file_world.fill(0)
    for i in range(300):
        await file_world.write((str(i), {"title": f"title {i}", "text": f"text {i}"}))
    checkpoint = ""
    async for event in backfill(INDEX, BackfillOptions(), file_world.context):
        if isinstance(event, Progress) and event.encoded >= 128:
            checkpoint = event.checkpoint
            break
    left = 300 - (await file_world.engine.stats(INDEX)).encoded
    events = await file_world.run(checkpoint=checkpoint)
    done = last(events)
    assert 0 < done.encoded == left < 300
    assert next(event for event in events if isinstance(event, Progress)).read <= 300 - 100
    assert (await file_world.engine.stats(INDEX)).encoded == 300


async def test_a_checkpoint_of_another_index_counts_for_nothing(file_world: FileWorld) -> None:
    await file_world.fill(10)
    other = json.dumps({"version": 1, "read": {"another/0/encoding": 10_000}})
    assert last(await file_world.run(checkpoint=other)).encoded == 10


async def test_a_resumed_run_finds_what_the_one_before_left_behind(file_world: FileWorld) -> None:
    await file_world.fill(10)
    [shard] = await file_world.engine.shards(INDEX)
    await file_world.run()
    await file_world.write(("3", {"title": "left", "text": "behind"}))
    [now] = await file_world.engine.shards(INDEX)
    finished = [e.checkpoint for e in await file_world.run() if isinstance(e, Progress) and e.checkpoint][-1]
    await file_world.engine.write(INDEX, [StoredDocument("3", {"title": "left"}, "", "pending")])
    key = next(iter(json.loads(finished)["read"]))
    past = json.dumps({"version": 1, "read": {key: now.mark + 1000}})
    assert shard.mark < now.mark
    assert last(await file_world.run(checkpoint=past)).encoded == 1


async def test_a_checkpoint_that_is_none_is_refused(file_world: FileWorld) -> None:
    await file_world.fill(1)
    with pytest.raises(ChercheError, match="checkpoint cannot be read"):
        await file_world.run(checkpoint="{")


async def test_an_index_that_is_not_set_up_is_refused(file_world: FileWorld) -> None:
    await file_world.fill(1)
    await file_world.engine.remove(INDEX)
    with pytest.raises(ChercheError, match="cherche setup articles"):
        await file_world.run()


async def test_a_model_that_is_not_served_is_named(file_world: FileWorld) -> None:
    await file_world.fill(1)
    other = replace(file_world.context, encoders=FakeEncoders([FakeEncoder(FakeModel(name="other"))]))
    with pytest.raises(ChercheError, match="'fake'"):
        async for _ in backfill(INDEX, BackfillOptions(), other):
            pass


async def test_a_cluster_that_refuses_writes_is_given_time(file_world: FileWorld) -> None:
    await file_world.fill(300)
    naps: list[float] = []

    async def sleep(seconds: float) -> None:
        naps.append(seconds)

    ticks = iter(range(10_000))
    file_world.context = replace(file_world.context, sleep=sleep, clock=lambda: float(next(ticks)))
    file_world.engine.loads = [Load(rejected, 0, 2, 0, 0.0) for rejected in (0, 0, 4, 9, 9)]
    assert last(await file_world.run(search_slowdown=0.0)).encoded == 300
    assert naps[:2] == [0.25, 0.5]
