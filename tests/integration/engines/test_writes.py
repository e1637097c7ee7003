"""Documents in the order of their writes, and writes that give way to newer ones: alike in both engines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sidecar.errors import Code
from sidecar.values.documents import StoredDocument, version_of
from sidecar.values.maintenance import ShardRange
from tests.integration.engines.conftest import META, Bench

pytestmark = pytest.mark.timeout(120)


async def read(bench: Bench, after: int = -1, **options: Any) -> list[StoredDocument]:
    [shard] = await bench.engine.shards(bench.index)
    await bench.engine.refresh(bench.index)
    return [one async for page in bench.engine.pages(shard, after, META, **options) for one in page]


def encoded(bench: Bench, read: StoredDocument, **weights: float) -> StoredDocument:
    document = bench.document(read.id, weights=weights or {"sun": 1.0})
    return replace(document, source=read.source, hash="feed", version=read.version)


async def test_every_document_is_read_once_in_the_order_of_its_last_write(bench: Bench) -> None:
    await bench.fill(*(bench.document(str(i), f"text {i}") for i in range(300)))
    await bench.fill(bench.document("7", "text 7, written again"))
    found = await read(bench)
    assert sorted(one.id for one in found) == sorted(str(i) for i in range(300))
    assert found[-1].id == "7"
    numbers = [version_of(one).seq_no for one in found]
    assert numbers == sorted(numbers)
    assert [one.id for one in await read(bench, numbers[-2])][-1] == "7"


async def test_only_what_was_written_after_is_read_again(bench: Bench) -> None:
    await bench.fill(*(bench.document(str(i), "text") for i in range(5)))
    [shard] = await bench.engine.shards(bench.index)
    await bench.fill(bench.document("3", "new text"))
    assert [one.id for one in await read(bench, shard.mark)] == ["3"]


async def test_an_empty_index_has_nothing_to_read(bench: Bench) -> None:
    assert await read(bench) == []


async def test_complete_documents_are_told_from_those_that_lack_something(bench: Bench) -> None:
    await bench.fill(bench.document("complete", "a", {"sun": 1.0}), bench.document("pending", "b"))
    await bench.fill(replace(bench.document("without codes", "c", {"sun": 1.0}), codes=None))
    complete = {one.id: one.is_complete for one in await read(bench)}
    assert complete == {"complete": True, "pending": False, "without codes": False}
    assert {one.id for one in await read(bench, incomplete=True)} == {"pending", "without codes"}


async def test_an_update_keeps_the_document_and_adds_its_weights(bench: Bench) -> None:
    await bench.fill(bench.document("1", "sunny", year=1998, tags=["a", "b"]))
    [before] = await read(bench)
    [answer] = await bench.engine.update([encoded(bench, before, sun=2.0)])
    assert answer.error is None
    await bench.engine.refresh(bench.index)
    stored = (await bench.engine.read(bench.index, ["1"]))["1"]
    assert stored.source == {"text": "sunny", "year": 1998, "tags": ["a", "b"]}
    assert (stored.hash, stored.state) == ("feed", "ok")
    page = await bench.search(weights={"sun": 1.0})
    assert [(hit.id, hit.sparse) for hit in page.hits] == [("1", 2.0)]


async def test_an_update_replaces_the_weights_before(bench: Bench) -> None:
    await bench.fill(bench.document("1", "moon", {"moon": 1.0}))
    [before] = await read(bench)
    await bench.engine.update([encoded(bench, before, sun=2.0)])
    await bench.engine.refresh(bench.index)
    assert not (await bench.search(weights={"moon": 1.0})).hits
    assert (await bench.search(weights={"sun": 1.0})).hits


async def test_a_newer_write_wins(bench: Bench) -> None:
    await bench.fill(bench.document("1", "old"), bench.document("2", "still"))
    before = {one.id: one for one in await read(bench)}
    await bench.fill(bench.document("1", "new"))
    answers = await bench.engine.update([encoded(bench, before["1"]), encoded(bench, before["2"])])
    assert [answer.error and answer.error.code for answer in answers] == [Code.ABORTED, None]
    stored = await bench.engine.read(bench.index, ["1", "2"])
    assert (stored["1"].source["text"], stored["1"].state) == ("new", "pending")
    assert stored["2"].state == "ok"


async def test_a_shard_names_the_index_it_is_of(bench: Bench) -> None:
    [shard] = await bench.engine.shards(bench.index)
    assert isinstance(shard, ShardRange)
    assert (shard.index, shard.shard) == (bench.index, 0)
