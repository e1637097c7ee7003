"""Counters: those of the plugin, and those that the engine keeps for pipelines and circuit breakers."""

from __future__ import annotations

import pytest

from tests.integration.plugin.cluster import Cluster
from tests.integration.plugin.requests import bulk, failed, ingest_pipeline, page, search, search_pipeline

pytestmark = [pytest.mark.java, pytest.mark.timeout(900)]  # the first builds the plugin and starts the node


async def test_searches_are_counted(fed: Cluster) -> None:
    before = await fed.stats()
    pipeline = await search_pipeline(fed)
    await search(fed, page("car never seen"), pipeline)
    after = await fed.stats()
    assert after["queries_rewritten"] == before["queries_rewritten"] + 1
    assert after["pages_reranked"] == before["pages_reranked"] + 1
    nodes = (await fed.send("GET", "/_nodes/stats/search_pipeline,breaker"))["nodes"]
    [node] = nodes.values()
    per_pipeline = node["search_pipeline"]["pipelines"][pipeline]
    assert per_pipeline["request"]["count"] == 1
    assert per_pipeline["response"]["failed"] == 0
    assert node["breakers"]["cherche_rerank"]["estimated_size_in_bytes"] == 0


async def test_documents_are_counted(cluster: Cluster) -> None:
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
