"""Sidecars that are dead, stopped or slow: searches keep first-stage order and say so, documents are never lost."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Iterator
from statistics import median
from typing import Any

import pytest

from sidecar.errors import ChercheError
from sidecar.values.documents import SourceDocument
from sidecar.values.index import Gaps
from sidecar.values.maintenance import BackfillOptions
from tests.integration.plugin.bulk import Sources, bulk, failed, ids, ingest_pipeline, search, search_pipeline, until
from tests.integration.plugin.conftest import Cluster
from tests.integration.plugin.stand_in import StandIn, stand_in

pytestmark = [pytest.mark.java, pytest.mark.timeout(900)]  # the first builds the plugin and starts the node

DEADLINE_MS = 150
LOG = logging.getLogger(__name__)  # counts and milliseconds: --log-cli-level=INFO


@pytest.fixture
def other() -> Iterator[StandIn]:
    with stand_in() as running:
        yield running


@pytest.fixture
async def fed(cluster: Cluster) -> Cluster:
    sources = {f"d{n:02}": {"title": f"car {n}", "text": f"film {'word ' * (n % 9)}number{n}"} for n in range(60)}
    await bulk(cluster, sources, await ingest_pipeline(cluster))
    return cluster


def body(text: str) -> dict[str, Any]:
    return {"query": {"multi_match": {"query": text, "fields": ["title", "text"]}}, "size": 10}


async def timed(cluster: Cluster, text: str, pipeline: str = "") -> tuple[dict[str, Any], float]:
    started = time.perf_counter()
    reply = await search(cluster, body(text), pipeline)
    return reply, (time.perf_counter() - started) * 1000


@pytest.mark.parametrize("failures", [5, 100], ids=["paused after five", "tried each time"])
async def test_a_dead_sidecar_costs_the_order_only(fed: Cluster, other: StandIn, failures: int) -> None:
    pipeline = await search_pipeline(fed)
    await fed.settings(endpoints=[other.address], breaker__failures=failures)
    reranked = await search(fed, body("car word"), pipeline)
    assert reranked["ext"]["cherche"]["rerank_status"] == "APPLIED"
    await fed.settings(query__deadline=f"{DEADLINE_MS}ms", rerank__deadline=f"{DEADLINE_MS}ms")
    other.kill()
    added = []
    for n in range(8):
        reply, millis = await timed(fed, f"car word {n}", pipeline)
        plain, without = await timed(fed, f"car word {n}")
        assert reply["ext"]["cherche"]["query_status"] == "UNAVAILABLE"
        assert reply["ext"]["cherche"]["rerank_status"] == "UNAVAILABLE"
        assert ids(reply) == ids(plain)
        added.append(millis - without)
    LOG.info("added, median: %.1f ms", median(added))
    assert median(added) <= DEADLINE_MS + 20
    assert (await fed.stats())["breaker_open"] is (failures == 5)
    again = await search(fed, body("car word"), pipeline)
    assert again["ext"]["cherche"]["rerank_status"] == "APPLIED", "a query that is remembered needs no sidecar"
    assert ids(again) == ids(reranked)
    other.restart()

    async def is_back() -> bool:
        return await status(fed, pipeline, "car word") == "APPLIED"

    await until(is_back)


@pytest.mark.parametrize("remembered", [False, True], ids=["before the search", "between search and rerank"])
async def test_a_black_hole_costs_its_deadline_only(fed: Cluster, other: StandIn, remembered: bool) -> None:
    pipeline = await search_pipeline(fed, {"rerank": True, "maxsim": "sidecar" if remembered else "shards"})
    await fed.settings(endpoints=[other.address], breaker__failures=100)
    texts = [f"car word {n}" for n in range(9)]
    for text in texts if remembered else ["car"]:
        assert await status(fed, pipeline, text) == "APPLIED"
    await fed.settings(query__deadline=f"{DEADLINE_MS}ms", rerank__deadline=f"{DEADLINE_MS}ms")
    other.stop()
    added = []
    for text in texts:
        reply, millis = await timed(fed, text, pipeline)
        plain, without = await timed(fed, text)
        told = reply["ext"]["cherche"]
        assert (told["query_status"], told["rerank_status"]) == ("REWRITTEN" if remembered else "DEADLINE", "DEADLINE")
        assert len(ids(reply)) == 10
        assert remembered or ids(reply) == ids(plain)
        assert "cherche_codes" not in str(reply)
        added.append(millis - without)
    other.resume()
    LOG.info("added, median: %.1f ms", median(added))
    assert DEADLINE_MS - 20 <= median(added) <= DEADLINE_MS + 20


async def test_fail_closed_fails(fed: Cluster, other: StandIn) -> None:
    pipeline = await search_pipeline(fed, rerank={"fail_closed": True})
    await fed.settings(endpoints=[other.address])
    other.kill()
    with pytest.raises(ChercheError, match="cherche_rerank: UNAVAILABLE"):
        await search(fed, body("car that no query named"), pipeline)  # a remembered one needs no sidecar


async def test_one_of_two_sidecars_is_enough(fed: Cluster, other: StandIn) -> None:
    pipeline = await search_pipeline(fed)
    await fed.settings(endpoints=[fed.server.address, other.address])
    statuses = [await status(fed, pipeline, f"car {n}") for n in range(6)]
    other.stop()
    statuses += [await status(fed, pipeline, f"film {n}") for n in range(10)]
    other.kill()
    statuses += [await status(fed, pipeline, f"word {n}") for n in range(10)]
    assert statuses == ["APPLIED"] * 26


async def status(cluster: Cluster, pipeline: str, text: str) -> str:
    return str((await search(cluster, body(text), pipeline))["ext"]["cherche"]["rerank_status"])


@pytest.mark.parametrize("on_unavailable", ["fail", "defer"])
async def test_a_sidecar_killed_within_a_bulk(cluster: Cluster, on_unavailable: str) -> None:
    pipeline = await ingest_pipeline(cluster, on_unavailable=on_unavailable)
    sources = {f"d{n:03}": {"text": f"document number {n}"} for n in range(400)}
    with stand_in(latency=0.05) as slow:
        await cluster.settings(endpoints=[slow.address], ingest__batch_documents=16, ingest__concurrency=2)
        before = (await cluster.stats())["documents_encoded"]
        writing = asyncio.create_task(bulk(cluster, sources, pipeline))

        async def is_midway() -> bool:
            return writing.done() or (await cluster.stats())["documents_encoded"] - before >= 50

        await until(is_midway)
        slow.kill()
        items = await writing
    stored = {one.id: one async for one in cluster.server.client.dump_index(cluster.index)}
    encoded = {id for id, one in stored.items() if one.state == "ok" and one.terms_digest and one.codes_digest}
    LOG.info("%d sent, %d stored, %d encoded, %d reported", len(sources), len(stored), len(encoded), len(failed(items)))
    assert encoded
    assert len(encoded) < len(sources)
    if on_unavailable == "fail":
        assert set(failed(items)) == set(sources) - encoded
        assert set(stored) == encoded
        assert {items[id]["status"] for id in failed(items)} <= {503, 504}
    else:
        assert failed(items) == {}
        assert set(stored) == set(sources)
        assert {one.state for id, one in stored.items() if id not in encoded} == {"pending"}
        await mended_by_backfill(cluster, len(sources) - len(encoded))
        encoded = set(sources)
    outcomes = await fed_again(cluster, sources)
    assert {id for id, outcome in outcomes.items() if outcome == "encoded"} == set(sources) - encoded
    assert {outcomes[id] for id in encoded} == {"unchanged"}


async def mended_by_backfill(cluster: Cluster, waiting: int) -> None:
    """All that waits is counted, and nothing waits after a backfill."""
    meta = await cluster.engine.meta(cluster.index)
    assert meta is not None
    assert await cluster.engine.gaps(cluster.index, meta) == Gaps(waiting=waiting)
    options = BackfillOptions(search_slowdown=0.0, ignore_disk=True)
    async for _ in cluster.server.client.backfill_index(cluster.index, options):
        pass
    assert await cluster.engine.gaps(cluster.index, meta) == Gaps()


async def fed_again(cluster: Cluster, sources: Sources) -> dict[str, str]:
    """Outcome by id of a feed of all documents: it completes what was deferred or refused."""

    async def documents() -> AsyncIterator[SourceDocument]:
        for id, source in sources.items():
            yield SourceDocument(id, json.dumps(source).encode())

    answers = cluster.server.client.index_documents(cluster.index, documents())
    return {answer.id: answer.outcome async for answer in answers}


async def test_stats_tell_what_was_done(fed: Cluster) -> None:
    before = await fed.stats()
    pipeline = await search_pipeline(fed)
    await search(fed, body("car never seen"), pipeline)
    after = await fed.stats()
    assert after["queries_rewritten"] == before["queries_rewritten"] + 1
    assert after["pages_reranked"] == before["pages_reranked"] + 1
    nodes = (await fed.send("GET", "/_nodes/stats/search_pipeline,breaker"))["nodes"]
    [node] = nodes.values()
    per_pipeline = node["search_pipeline"]["pipelines"][pipeline]
    assert per_pipeline["request"]["count"] == 1
    assert per_pipeline["response"]["failed"] == 0
    assert node["breakers"]["cherche_rerank"]["estimated_size_in_bytes"] == 0


async def test_the_nodes_count_what_the_pipeline_refused(cluster: Cluster) -> None:
    pipeline = await ingest_pipeline(cluster)
    before = await cluster.stats()
    sources = {f"d{n}": {"text": f"number {n}" + (" poison" if n == 4 else "")} for n in range(10)}
    assert list(failed(await bulk(cluster, sources, pipeline))) == ["d4"]
    [node] = (await cluster.send("GET", "/_nodes/stats/ingest"))["nodes"].values()
    counted = node["ingest"]["pipelines"][pipeline]
    assert (counted["count"], counted["failed"], counted["current"]) == (10, 1, 0)
    [processor] = [each["cherche_encode"] for each in counted["processors"]]
    assert (processor["stats"]["count"], processor["stats"]["failed"]) == (10, 1)
    after = await cluster.stats()
    assert after["documents_encoded"] - before["documents_encoded"] == 9
    assert after["documents_failed"] - before["documents_failed"] == 1


async def test_a_full_heap_budget_shrinks_the_window(fed: Cluster) -> None:
    pipeline = await search_pipeline(fed, {"rerank": True, "maxsim": "sidecar"})
    limit = "breaker.cherche_rerank.limit"
    await fed.send("PUT", "/_cluster/settings", {"persistent": {limit: "24kb"}})
    try:
        reply = await search(fed, body("car word film"), pipeline)
    finally:
        await fed.send("PUT", "/_cluster/settings", {"persistent": {limit: None}})
    told = reply["ext"]["cherche"]
    assert told["rerank_window_shrunk"] is True
    assert len(ids(reply)) == 10
    assert told.get("rerank_window", 0) < 60
    on_shards = await search(fed, body("car word film"), await search_pipeline(fed))
    assert on_shards["ext"]["cherche"]["rerank_window"] == 60, "codes that stay on their shards take no heap"


@pytest.mark.parametrize("inline", [False, True], ids=["named pipeline", "pipeline in the request"])
async def test_shadow_shows_the_users_page_and_logs_both_orders(fed: Cluster, inline: bool) -> None:
    options = {"rerank": True, "mode": "shadow"}
    before = await fed.stats()
    if inline:
        brought = {"request_processors": [{"cherche_query": options}], "response_processors": [{"cherche_rerank": {}}]}
        reply = await search(fed, {**body("car word film"), "search_pipeline": brought})
    else:
        reply = await search(fed, body("car word film"), await search_pipeline(fed, options))
    assert ids(reply) == ids(await search(fed, body("car word film")))
    assert reply["ext"]["cherche"]["query_status"] == "SHADOW"

    async def is_compared() -> bool:
        return bool((await fed.stats())["pages_reranked"] > before["pages_reranked"])

    await until(is_compared)
    assert (await fed.stats())["shadow_searches"] == before["shadow_searches"] + 1
