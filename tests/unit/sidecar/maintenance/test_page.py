"""One page of documents: what is encoded, what is left alone, and what is noted of the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sidecar.errors import Code
from sidecar.maintenance.page import process_page
from sidecar.maintenance.work import Outcome
from sidecar.pipeline.encode import DocumentEncoder
from sidecar.values.documents import StoredDocument
from tests.unit.sidecar.maintenance.fakes import INDEX, FileWorld, last, not_done


async def one_page(file_world: FileWorld) -> list[StoredDocument]:
    meta = await file_world.engine.meta(INDEX)
    assert meta is not None
    [shard] = await file_world.engine.shards(INDEX)
    pages = [page async for page in file_world.engine.pages(shard, -1, meta)]
    return [one for page in pages for one in page]


async def processed(file_world: FileWorld, page: Sequence[StoredDocument]) -> Outcome:
    meta = await file_world.engine.meta(INDEX)
    assert meta is not None
    encoder = DocumentEncoder.of(meta, file_world.context.encoders)
    return await process_page(page, encoder, encoder.feature_names(), file_world.context)


async def test_a_page_is_encoded_once(file_world: FileWorld) -> None:
    await file_world.fill(3)
    assert dict((await processed(file_world, await one_page(file_world))).counts) == {"read": 3, "encoded": 3}
    assert dict((await processed(file_world, await one_page(file_world))).counts) == {"read": 3, "kept": 3}
    assert file_world.encoded == 3


async def test_documents_that_were_deleted_or_written_meanwhile_are_counted_and_left_alone(
    file_world: FileWorld,
) -> None:
    await file_world.fill(3)
    page = await one_page(file_world)
    await file_world.write(("1", {"text": "newer"}))
    deleted = replace(page[0], id="gone")
    outcome = await processed(file_world, [deleted, *page])
    assert dict(outcome.counts) == {"read": 4, "encoded": 2, "conflicts": 1, "gone": 1}
    assert not outcome.not_done
    assert (await file_world.engine.read(INDEX, ["1"]))["1"].state == "pending"


async def test_a_text_beyond_the_limit_is_not_encoded(file_world: FileWorld) -> None:
    await file_world.fill(1)
    await file_world.write(("long", {"text": "word " * 300_000}))
    outcome = await processed(file_world, await one_page(file_world))
    [one] = outcome.not_done
    assert (one.id, one.index, one.error.code) == ("long", INDEX, Code.INVALID_ARGUMENT)
    assert "has 1,500,000 bytes of text, the limit is 1,048,576" in one.error.reason


async def test_documents_that_cannot_be_encoded_are_named_and_their_neighbours_done(file_world: FileWorld) -> None:
    await file_world.fill(3)
    await file_world.write(("empty", {"title": "", "year": 1998}), ("poison", {"title": "poison", "text": "x"}))
    events = await file_world.run()
    done = last(events)
    assert (done.encoded, done.skipped, done.failed) == (3, 1, 1)
    assert [(one.id, one.error.code) for one in not_done(events)] == [("poison", Code.INTERNAL)]


async def test_weights_of_a_text_that_is_gone_are_taken_away(file_world: FileWorld) -> None:
    await file_world.fill(2)
    await file_world.run()
    stored = (await file_world.engine.read(INDEX, ["0"]))["0"]
    emptied = StoredDocument("0", {"title": "", "text": ""}, stored.hash, "ok", {}, stored.terms, stored.codes)
    await file_world.engine.write(INDEX, [emptied])
    assert last(await file_world.run()).skipped == 1
    found = (await file_world.engine.read(INDEX, ["0"]))["0"]
    assert (found.state, found.terms) == ("no_text", None)
    assert last(await file_world.run()).skipped == 0, "noted once"


async def test_a_document_whose_text_changed_behind_its_hash_is_encoded_again(file_world: FileWorld) -> None:
    await file_world.fill(20)
    await file_world.run()
    stored = (await file_world.engine.read(INDEX, ["7"]))["7"]
    stale = StoredDocument("7", {"title": "another", "text": "text"}, stored.hash, "ok", {}, stored.terms, stored.codes)
    await file_world.engine.write(INDEX, [stale])
    assert last(await file_world.run()).encoded == 1
    assert (await file_world.engine.read(INDEX, ["7"]))["7"].hash != stored.hash


async def test_what_is_exposed_is_written_anew_with_the_weights_that_it_has(file_world: FileWorld) -> None:
    await file_world.fill(2)
    await processed(file_world, await one_page(file_world))
    seen = file_world.encoded
    before = await file_world.engine.read(INDEX, ["0", "1"])
    first, second = await one_page(file_world)
    outcome = await processed(file_world, [replace(first, exposed=True), second])
    assert dict(outcome.counts) == {"read": 2, "encoded": 1, "kept": 1}
    after = await file_world.engine.read(INDEX, ["0", "1"])
    assert {id: (one.hash, one.terms, one.codes) for id, one in after.items()} == {
        id: (one.hash, one.terms, one.codes) for id, one in before.items()
    }
    moved = [one.version for one in await one_page(file_world) if one.id == first.id]
    assert moved != [first.version]
    assert file_world.encoded == seen


async def test_a_document_that_cannot_be_encoded_is_not_left_exposed(file_world: FileWorld) -> None:
    await file_world.fill(1)
    await file_world.write(("long", {"text": "word " * 300_000}))
    [long] = [one for one in await one_page(file_world) if one.id == "long"]
    await processed(file_world, [replace(long, state="failed", hash="", exposed=True)])
    assert (await file_world.engine.read(INDEX, ["long"]))["long"].state == "failed"
    [cleared] = [one for one in await one_page(file_world) if one.id == "long"]
    assert cleared.version != long.version
