"""Queries of an inference-free model: one call for the query table, and no further calls."""

from __future__ import annotations

import pytest

from sidecar.cluster.node import free_ports
from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.testing import running_server
from sidecar.values.index import IndexOptions
from sidecar.values.search import SearchRequest
from tests.integration.plugin.cluster import Cluster
from tests.integration.plugin.conftest import LONG_DEADLINE
from tests.integration.plugin.inference_free import InferenceFreeModel
from tests.integration.plugin.requests import bulk, failed, ids, ingest_pipeline, search, search_pipeline

pytestmark = [pytest.mark.java, pytest.mark.timeout(900)]

SOURCES = {
    "a": {"title": "neural rerank", "text": "what is a neural search engine, and what is it not?"},
    "b": {"title": "CAFÉ", "text": "Müller's café — Größe"},
    "c": {"text": "rerank documents quickly"},
    "d": {"title": "東京", "text": "tower e-mail a.b@c.d"},
}
TEXTS = ["what is neural", "rerank, documents!", "Cafe müller", "東京 tower", "quickly a.b", "e-mail"]

WEIGHTLESS = "neural"  # its only piece has the weight 0 in the table


async def test_once_the_table_is_cached_no_sidecar_is_called(engine: OpenSearchEngine, plugin_url: str) -> None:
    async with running_server(engine, [InferenceFreeModel()]) as server:
        cluster = Cluster(engine, server.client, server, "test-doc-only")  # type: ignore[arg-type]  # no FakeModel
        await cluster.settings(endpoints=[server.address], query__deadline=LONG_DEADLINE)
        await server.client.setup_index(cluster.index, IndexOptions())
        try:
            assert failed(await bulk(cluster, SOURCES, await ingest_pipeline(cluster))) == {}
            pipeline = await search_pipeline(cluster, {"query_mode": "doc_only", "match_set": "union"})
            wanted = {text: await server.client.search(request(cluster, text)) for text in TEXTS}
            first = await search(cluster, body(WEIGHTLESS), pipeline)
            assert first["ext"]["cherche"]["query_status"] == "NO_TERMS"
            await cluster.settings(endpoints=[f"127.0.0.1:{free_ports(1)[0]}"], breaker__failures=1)
            for text, found in wanted.items():
                reply = await search(cluster, body(text), pipeline)
                assert reply["ext"]["cherche"]["query_status"] == "REWRITTEN"
                assert ids(reply) == [hit.id for hit in found.hits]
                scores = [hit["_score"] for hit in reply["hits"]["hits"]]
                assert scores == pytest.approx([hit.score for hit in found.hits], rel=1e-6)
            assert any(found.hits for found in wanted.values())
            weightless = await search(cluster, body(WEIGHTLESS), pipeline)
            assert weightless["ext"]["cherche"]["query_status"] == "NO_TERMS"
        finally:
            await cluster.send("DELETE", f"/{cluster.index}")
            await cluster.send("PUT", "/_cluster/settings", {"persistent": {"plugins.cherche.*": None}})


def body(text: str) -> dict[str, object]:
    return {"query": {"multi_match": {"query": text, "fields": ["title", "text"]}}}


def request(cluster: Cluster, text: str) -> SearchRequest:
    return SearchRequest(cluster.index, text, query_mode="doc_only", match_set="union", body=body(text))
