"""A backfill on a real cluster: indices that people have, while they write them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import pytest

from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.errors import ChercheError
from sidecar.testing import FakeModel, RunningServer, running_server
from sidecar.values.index import IndexOptions, TextField
from sidecar.values.maintenance import BackfillEvent, BackfillOptions, Estimate, Progress
from sidecar.values.search import SearchRequest
from tests.integration.opensearch.corpus import Send

FIELDS = IndexOptions(fields=(TextField("title"), TextField("text")))


@pytest.fixture
async def server(opensearch: OpenSearchEngine) -> AsyncIterator[RunningServer]:
    async with running_server(opensearch, [FakeModel()]) as running:
        yield running


async def bulk(send: Send, index: str, documents: dict[str, dict[str, Any]], **params: str) -> None:
    import json

    lines = [line for id, source in documents.items() for line in ({"index": {"_id": id}}, source)]
    body = "\n".join(map(json.dumps, lines)) + "\n"
    reply = await send("POST", f"/{index}/_bulk", body.encode(), refresh="true", **params)
    assert not reply["errors"], reply


def plain(count: int) -> dict[str, dict[str, Any]]:
    return {str(i): {"title": f"title {i}", "text": f"words of document {i}", "n": i} for i in range(count)}


async def run(server: RunningServer, index: str, **options: Any) -> list[BackfillEvent]:
    wanted = BackfillOptions(**{"search_slowdown": 0.0, **options})
    return [event async for event in server.client.backfill_index(index, wanted)]


def last(events: list[BackfillEvent]) -> Progress:
    found = events[-1]
    assert isinstance(found, Progress)
    assert found.finished
    return found


async def test_documents_that_were_there_before_are_found_by_their_weights(
    server: RunningServer, send: Send, index: str
) -> None:
    await send("PUT", f"/{index}", {"settings": {"number_of_shards": 3, "number_of_replicas": 0}})
    await bulk(send, index, plain(500))
    await server.client.setup_index(index, FIELDS)
    events = await run(server, index)
    estimate, done = events[0], last(events)
    assert isinstance(estimate, Estimate)
    assert (estimate.documents, estimate.to_encode) == (500, 500)
    assert estimate.free_bytes > 0
    assert (done.encoded, done.failed) == (500, 0)
    report = await server.client.get_index(index)
    assert (report.stats.encoded, report.findings) == (500, ())
    found = await server.client.search(SearchRequest(index, "document 77", mode="sparse", size=1))
    assert [(hit.id, hit.source["n"]) for hit in found.hits] == [("77", 77)]
    again = last(await run(server, index))
    assert (again.encoded, again.kept) == (0, 500)


async def test_weights_that_lie_in_the_source_are_replaced_and_not_merged(
    server: RunningServer, send: Send, index: str
) -> None:
    await bulk(send, index, {"1": {"title": "moon", "text": "moonlight"}})
    await server.client.setup_index(index, FIELDS)
    assert last(await run(server, index)).encoded == 1
    await send("POST", f"/{index}/_update/1", {"doc": {"title": "sun", "text": "sunlight"}}, refresh="true")
    assert last(await run(server, index)).encoded == 1
    for word, found in (("moonlight", 0), ("sunlight", 1)):
        result = await server.client.search(SearchRequest(index, word, mode="sparse"))
        assert len(result.hits) == found, word


async def test_a_partial_update_that_dropped_weights_is_mended(server: RunningServer, send: Send, index: str) -> None:
    await server.client.setup_index(index, FIELDS)
    await bulk(send, index, plain(3))
    await run(server, index)
    await send("POST", f"/{index}/_update/1", {"doc": {"n": 100}}, refresh="true")
    assert (await server.client.get_index(index)).stats.encoded == 2
    assert last(await run(server, index)).encoded == 1
    stored = await send("GET", f"/{index}/_source/1")
    assert stored["n"] == 100


async def test_documents_with_a_routing_of_their_own_stay_where_they_are(
    server: RunningServer, send: Send, index: str
) -> None:
    await send("PUT", f"/{index}", {"settings": {"number_of_shards": 4, "number_of_replicas": 0}})
    for i in range(8):
        await bulk(send, index, {str(i): {"text": f"text {i}"}}, routing=f"tenant {i}")
    await server.client.setup_index(index, FIELDS)
    assert last(await run(server, index)).encoded == 8
    reply = await send("POST", f"/{index}/_search", {"size": 20})
    assert sorted((hit["_id"], hit["_routing"]) for hit in reply["hits"]["hits"]) == [
        (str(i), f"tenant {i}") for i in range(8)
    ]


async def test_a_default_pipeline_is_not_run_by_a_backfill(server: RunningServer, send: Send, index: str) -> None:
    await bulk(send, index, plain(2))
    await send("PUT", f"/{index}/_settings", {"index.default_pipeline": "one-that-is-missing"})
    with pytest.raises(ChercheError, match="does not exist"):
        await send("PUT", f"/{index}/_doc/2", {"title": "runs through it"})
    await server.client.setup_index(index, FIELDS)
    done = last(await run(server, index))
    assert (done.encoded, done.failed) == (2, 0)


@pytest.fixture
async def alias(send: Send) -> AsyncIterator[Callable[..., Any]]:
    """Makes indices behind an alias; they are deleted afterwards."""
    made: list[str] = []

    async def make(name: str, count: int) -> list[str]:
        names = [f"{name}-{i}-{uuid4().hex[:6]}" for i in range(count)]
        for each in names:
            await send("PUT", f"/{each}", {"settings": {"number_of_replicas": 0}, "aliases": {name: {}}})
        made.extend(names)
        return names

    yield make
    for each in made:
        await send("DELETE", f"/{each}")


async def test_all_indices_behind_an_alias_are_encoded(
    server: RunningServer, send: Send, index: str, alias: Callable[..., Any]
) -> None:
    names = await alias(index, 2)
    for i, name in enumerate(names):
        await bulk(send, name, {f"{i}-{j}": {"text": f"text {j}"} for j in range(10)})
    await server.client.setup_index(index, FIELDS)
    assert last(await run(server, index)).encoded == 20
    assert (await server.client.get_index(index)).stats.encoded == 20


async def test_others_write_and_delete_meanwhile(server: RunningServer, send: Send, index: str) -> None:
    await server.client.setup_index(index, FIELDS)
    await bulk(send, index, plain(600))

    async def interfere() -> None:
        for i in range(0, 60, 3):
            await send("PUT", f"/{index}/_doc/{i}", {"title": "rewritten", "text": f"anew {i}"})
            await send("DELETE", f"/{index}/_doc/{i + 1}")

    done, _ = await asyncio.gather(run(server, index), interfere())
    assert last(done).failed == 0
    report = await server.client.get_index(index)
    assert (report.stats.documents, report.stats.encoded) == (580, 580)
    check = last(await run(server, index))
    assert (check.encoded, check.kept) == (0, 580)


async def test_searches_are_probed_on_a_cluster(server: RunningServer, send: Send, index: str) -> None:
    await bulk(send, index, plain(20))
    await server.client.setup_index(index, FIELDS)
    before = await send("GET", f"/{index}/_stats/search")
    done = last(await run(server, index, search_slowdown=1000.0))
    after = await send("GET", f"/{index}/_stats/search")
    count = [one["_all"]["total"]["search"]["query_total"] for one in (before, after)]
    assert done.encoded == 20
    assert count[1] - count[0] >= 100


async def test_an_index_without_a_primary_is_no_answer(server: RunningServer, send: Send, index: str) -> None:
    settings = {"number_of_replicas": 0, "index.routing.allocation.require._name": "nobody"}
    await send("PUT", f"/{index}", {"settings": settings, "mappings": {}}, wait_for_active_shards="0")
    await server.sidecar.registry.settled()
    with pytest.raises(ChercheError):
        await server.client.setup_index(index, FIELDS)
