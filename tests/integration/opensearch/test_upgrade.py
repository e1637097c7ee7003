"""Another model for an index in use, on a real cluster."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.errors import ChercheError, Code
from sidecar.testing import FakeModel, RunningServer, running_server
from sidecar.values.documents import SourceDocument, StoredDocument, Version
from sidecar.values.index import IndexOptions, TextField
from sidecar.values.maintenance import BackfillOptions, Estimate, Placement, Progress, Switched, UpgradeEvent
from sidecar.values.search import SearchRequest
from tests.integration.opensearch.corpus import Send
from tests.integration.opensearch.test_backfill import bulk, last, plain, run
from tests.integration.rpc.conftest import until

FIELDS = (TextField("title"), TextField("text"))
QUIET = BackfillOptions(search_slowdown=0.0)


@dataclass
class Served:
    """A sidecar with two models, and an alias of an index that the first one encoded."""

    server: RunningServer
    send: Send
    alias: str
    old: str

    async def step(self, step: Any, model: str = "", *, name: str = "", **more: Any) -> list[UpgradeEvent]:
        options = IndexOptions(model=model)
        events = self.server.client.upgrade_index(name or self.alias, step, options, settings=QUIET, **more)
        return [event async for event in events]

    async def behind(self) -> list[str]:
        return list(await self.send("GET", f"/_alias/{self.alias}"))

    async def search(self, text: str, **options: Any) -> Any:
        return await self.server.client.search(SearchRequest(self.alias, text, **options))

    async def sources(self, index: str = "") -> dict[str, Any]:
        await self.send("POST", f"/{index or self.alias}/_refresh")
        reply = await self.send("POST", f"/{index or self.alias}/_search", {"size": 1000})
        own = list(reply["hits"]["hits"])
        return {hit["_id"]: hit["_source"].get("title") for hit in own}


def end(events: list[UpgradeEvent]) -> Switched:
    found = events[-1]
    assert isinstance(found, Switched)
    return found


@pytest.fixture
async def served(opensearch: OpenSearchEngine, send: Send, index: str) -> AsyncIterator[Served]:
    async with running_server(opensearch, [FakeModel(name="one"), FakeModel(name="two", buckets=512)]) as server:
        old = f"{index}-a"
        settings = {"number_of_shards": 2, "number_of_replicas": 0}
        mappings = {"properties": {"year": {"type": "integer"}}, "_meta": {"owner": "us"}}
        await send("PUT", f"/{old}", {"settings": settings, "mappings": mappings, "aliases": {index: {}}})
        await server.client.setup_index(index, IndexOptions(model="one", fields=FIELDS))
        await bulk(send, index, plain(200))
        await run(server, index)
        yield Served(server, send, index, old)
        await send("DELETE", f"/{index}-*")


@pytest.fixture
def index() -> str:
    """The alias: it is gone with its indices."""
    return f"test-{uuid4().hex[:12]}"


async def test_an_alias_is_switched_to_an_index_of_another_model_and_back(served: Served) -> None:
    events = await served.step("prepare", "two")
    prepared, copied = end(events), next(e for e in reversed(events) if isinstance(e, Progress))
    assert isinstance(events[0], Estimate)
    assert (events[0].documents, events[0].to_encode) == (200, 200)
    assert copied.encoded == 200
    assert await served.behind() == [served.old], "it serves until the switch"
    [new] = prepared.serving
    mapping = (await served.send("GET", f"/{new}/_mapping"))[new]["mappings"]
    assert mapping["_meta"]["owner"] == "us"
    assert mapping["properties"]["year"] == {"type": "integer"}
    assert (await served.send("GET", f"/{new}/_settings"))[new]["settings"]["index"]["number_of_shards"] == "2"

    assert end(await served.step("switch")) == Switched(served.alias, (new,), (served.old,))
    assert await served.behind() == [new]
    report = await served.server.client.get_index(served.alias)
    assert report.meta is not None
    assert (report.meta.model, report.stats.encoded) == ("two", 200)
    assert [hit.id for hit in (await served.search("document 77", mode="sparse", size=1)).hits] == ["77"]

    await bulk(served.send, served.alias, {"77": {"title": "rewritten", "text": "anew"}, "new": {"title": "new"}})
    await served.send("DELETE", f"/{served.alias}/_doc/5", refresh="true")
    assert end(await served.step("rollback")).serving == (served.old,)
    assert await served.behind() == [served.old]
    titles = await served.sources()
    assert (titles["77"], titles["new"], "5" in titles, len(titles)) == ("rewritten", "new", False, 200)
    report = await served.server.client.get_index(served.alias)
    assert (report.stats.encoded, report.findings) == (200, ())


async def test_what_others_write_and_delete_meanwhile_is_there_after_the_switch(served: Served) -> None:
    stop = asyncio.Event()
    written: dict[str, str] = {}

    async def write() -> None:
        number = 0
        while not stop.is_set():
            id, title = str(number % 250), f"version {number}"
            if number % 7:
                await served.send("PUT", f"/{served.alias}/_doc/{id}", {"title": title, "text": "words"})
                written[id] = title
            elif id in written:
                await served.send("DELETE", f"/{served.alias}/_doc/{id}")
                written.pop(id)
            number += 1
            await asyncio.sleep(0.005)

    writer = asyncio.create_task(write())
    await served.step("prepare", "two")
    [new] = end(await served.step("switch")).serving
    stop.set()
    await writer
    titles = await served.sources()
    assert {id: titles.get(id) for id in written} == written
    last(await run(served.server, served.alias))
    report = await served.server.client.get_index(served.alias)
    assert (report.stats.encoded, report.stats.documents) == (len(titles), len(titles))
    assert await served.behind() == [new]


async def test_searches_go_on_and_no_page_mixes_models(served: Served) -> None:
    stop = asyncio.Event()
    pages: list[tuple[str, int]] = []

    async def search() -> None:
        while not stop.is_set():
            result = await served.search("words of document 77", rerank=True, size=5)
            pages.append((result.fingerprint.sparse, len(result.hits)))
            expected = {hit.parts.sparse > 0 for hit in result.hits}
            assert expected == {True}, "weights of a query and a document of two models have nothing in common"
            await asyncio.sleep(0.05)

    searching = asyncio.create_task(search())
    await served.step("prepare", "two")
    await served.step("switch")
    await until(lambda: searching.done() or len({fingerprint for fingerprint, _ in pages}) == 2)
    await asyncio.sleep(0.2)
    stop.set()
    await searching
    fingerprints = [fingerprint for fingerprint, _ in pages]
    assert len(set(fingerprints)) == 2
    assert fingerprints == sorted(fingerprints, key=fingerprints.index), "once switched, it stays so"
    assert {count for _, count in pages} == {5}


async def test_a_document_without_text_is_copied_all_the_same(served: Served) -> None:
    await bulk(served.send, served.alias, {"bare": {"year": 1998}, "bad": {"title": "poison"}})
    events = await served.step("prepare", "two")
    copied = next(e for e in reversed(events) if isinstance(e, Progress))
    assert (copied.skipped, copied.failed) == (1, 1)
    await served.step("switch")
    assert {"bare", "bad"} <= set(await served.sources())


async def test_an_index_is_switched_only_on_request_and_then_by_an_alias_of_its_name(served: Served) -> None:
    """Searches go on, no acknowledged write is lost, and the way back is open."""
    name, stop = served.old, asyncio.Event()
    await served.send("POST", "/_aliases", {"actions": [{"add": {"index": name, "alias": f"{name}-also"}}]})
    [new] = end(await served.step("prepare", "two", name=name)).serving
    with pytest.raises(ChercheError, match="only an alias") as caught:
        await served.step("switch", name=name)
    assert caught.value.code is Code.FAILED_PRECONDITION
    assert "--replace" in caught.value.next_step
    written: dict[str, str] = {}
    refused: list[str] = []
    found: list[int] = []

    async def write() -> None:
        for number in range(10_000):
            id, title = str(number % 250), f"version {number}"
            try:
                await served.send("PUT", f"/{name}/_doc/{id}", {"title": title, "text": "words"})
                written[id] = title
            except ChercheError as error:
                refused.append(error.reason)
            await asyncio.sleep(0.005)
            if stop.is_set():
                return

    async def search() -> None:
        while not stop.is_set():
            result = await served.server.client.search(SearchRequest(name, "words of document 77", size=5))
            found.append(len(result.hits))
            await asyncio.sleep(0.02)

    others = [asyncio.create_task(write()), asyncio.create_task(search())]
    switched = end(await served.step("switch", name=name, replace=True))
    await asyncio.sleep(0.2)
    stop.set()
    await asyncio.gather(*others)
    [kept] = switched.kept
    assert switched.serving == (new,)
    assert list(await served.send("GET", f"/_alias/{name}")) == [new]
    assert list(await served.send("GET", f"/_alias/{name}-also")) == [new]
    assert set(found) == {5}
    # Blocked while it is copied; a write that was routed just before the old index goes finds no index.
    unexpected = {reason for reason in refused if "write" not in reason and "no such index" not in reason}
    assert unexpected == set()
    titles = await served.sources(name)
    assert {id: titles.get(id) for id in written} == written
    assert end(await served.step("rollback", name=name)).serving == (kept,)
    titles = await served.sources(name)
    assert {id: titles.get(id) for id in written} == written
    assert last(await run(served.server, name)).failed == 0
    report = await served.server.client.get_index(name)
    assert report.meta is not None
    assert (report.meta.model, report.stats.encoded, report.findings) == ("one", len(titles), ())


async def test_a_replacement_that_fails_leaves_the_index_as_it_was(served: Served) -> None:
    name = served.old
    await served.step("prepare", "two", name=name)
    meta = (await served.server.client.get_index(name)).meta
    assert meta is not None
    kept = f"{name}-before-{meta.fingerprint.sparse[:8]}"
    await served.send("PUT", f"/{kept}")
    with pytest.raises(ChercheError, match="is no copy"):
        await served.step("switch", name=name, replace=True)
    await served.send("PUT", f"/{name}/_doc/new", {"title": "taken again"})
    assert "new" in await served.sources(name)

    await served.send("DELETE", f"/{kept}")
    await served.send("PUT", f"/{name}/_block/write")  # as one that was killed leaves it
    findings = (await served.server.client.get_index(name)).findings
    assert any("was cut off" in finding for finding in findings)
    await served.step("prepare", "two", name=name)
    await served.step("switch", name=name, replace=True)
    await served.send("PUT", f"/{name}/_doc/newer", {"title": "and again"})
    assert {"new", "newer"} <= set(await served.sources(name))


async def test_nothing_is_switched_that_was_not_prepared(served: Served) -> None:
    with pytest.raises(ChercheError, match="no index is prepared"):
        await served.step("switch")
    with pytest.raises(ChercheError, match="replaced no other index"):
        await served.step("rollback")


async def test_the_same_model_is_no_upgrade(served: Served) -> None:
    with pytest.raises(ChercheError, match="already"):
        await served.step("prepare", "one")


async def test_an_upgrade_that_was_cut_off_is_taken_up_again(served: Served) -> None:
    events = served.server.client.upgrade_index(served.alias, "prepare", IndexOptions(model="two"), settings=QUIET)
    async for event in events:
        if isinstance(event, Progress) and event.encoded:
            break
    await events.aclose()
    again = await served.step("prepare", "two")
    copied = next(e for e in reversed(again) if isinstance(e, Progress))
    assert copied.kept > 0
    assert copied.encoded + 1 < 200 + copied.kept
    await served.step("switch")
    assert len(await served.sources()) == 200


async def test_a_feed_that_runs_across_the_switch_is_encoded_for_the_new_index(served: Served) -> None:
    switched = asyncio.Event()
    sent: list[str] = []

    async def documents() -> AsyncIterator[SourceDocument]:
        number = 0
        while not switched.is_set() or number < 400:
            sent.append(str(number))
            yield SourceDocument(f"fed {number}", json.dumps({"title": f"fed {number}"}).encode())
            number += 1
            await asyncio.sleep(0.003)

    async def feed() -> list[str]:
        answers = served.server.client.index_documents(served.alias, documents())
        return [one.error.reason if one.error else one.outcome async for one in answers]

    feeding = asyncio.create_task(feed())
    await served.step("prepare", "two")
    await served.step("switch")
    await asyncio.sleep(0.3)
    switched.set()
    assert set(await feeding) == {"encoded"}
    report = await served.server.client.get_index(served.alias)
    assert report.meta is not None
    assert (report.meta.model, report.stats.documents) == ("two", 200 + len(sent))
    again = last(await run(served.server, served.alias))
    assert (again.encoded, again.kept) == (0, 200 + len(sent)), "each was encoded by the model of its index"


async def test_indices_behind_one_alias_are_upgraded_one_after_another(served: Served) -> None:
    other = f"{served.alias}-b"
    await served.send("PUT", f"/{other}", {"settings": {"number_of_replicas": 0}})
    actions = [
        {"add": {"index": name, "alias": served.alias, "is_write_index": name == other}} for name in (served.old, other)
    ]
    await served.send("POST", "/_aliases", {"actions": actions})
    await served.server.client.setup_index(other, IndexOptions(model="one", fields=FIELDS))
    await bulk(served.send, other, {"fresh": {"title": "words of a fresh document"}})
    await run(served.server, other)
    with pytest.raises(ChercheError, match="stands for 2 indices") as refused:
        await served.step("prepare", "two")
    assert "--replace" in refused.value.next_step
    found = []
    for name in (other, served.old):
        await served.step("prepare", "two", name=name)
        found += end(await served.step("switch", name=name, replace=True)).serving
        result = await served.search("words of a fresh document", size=300, mode="sparse")
        assert len(result.hits) == 201
        assert all(hit.parts.sparse > 0 for hit in result.hits)
    options = await served.send("GET", f"/_alias/{served.alias}")
    assert sorted(options) == sorted(found)
    assert options[found[0]]["aliases"][served.alias]["is_write_index"] is True
    groups = (await served.server.client.get_index(served.alias)).groups
    assert [group.model for group in groups] == ["two"]


@pytest.mark.parametrize("product", ["opensearch"], indirect=True)  # the other runs no script here
async def test_a_late_copy_is_what_the_old_index_held_whatever_a_final_pipeline_makes_of_it(
    opensearch: OpenSearchEngine, send: Send, index: str
) -> None:
    count = "ctx.passes = (ctx.passes == null ? 0 : ctx.passes) + 1"
    drop = {"drop": {"if": "ctx.drop == true"}}
    await send("PUT", f"/_ingest/pipeline/{index}", {"processors": [{"script": {"source": count}}, drop]})
    try:
        await send("PUT", f"/{index}-new", {"settings": {"index.final_pipeline": index, "number_of_replicas": 0}})
        there = await send("PUT", f"/{index}-new/_doc/there", {"title": "before"}, routing="r", refresh="true")
        sources = {"there": {"title": "after", "passes": 1}, "new": {"passes": 7}, "gone": {"drop": True}}
        over = {"there": Version(there["_seq_no"], there["_primary_term"])}
        placements = [Placement(StoredDocument(id, source), "r", over.get(id)) for id, source in sources.items()]
        answers = await (await opensearch.successors()).place(f"{index}-new", placements)
        assert {one.id: one.error and one.error.code for one in answers} == {
            "there": None,
            "new": None,
            "gone": Code.FAILED_PRECONDITION,
        }
        for id in ("there", "new"):
            stored = await send("GET", f"/{index}-new/_source/{id}", routing="r")
            assert {key: value for key, value in stored.items() if not key.startswith("cherche_")} == sources[id]
    finally:
        await send("DELETE", f"/{index}-*")
        await send("DELETE", f"/_ingest/pipeline/{index}")
