"""The trace of a client's request to the cluster goes on in the sidecar: W3C Trace Context through a real node."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from sidecar.observe import telemetry
from tests.integration.plugin.cluster import Cluster
from tests.integration.plugin.requests import ingest_pipeline, page, search_pipeline

pytest.importorskip("opentelemetry.sdk", reason="OpenTelemetry's SDK, of the extra otel, is not installed")

from tests.recorded import Recorded

pytestmark = [pytest.mark.java, pytest.mark.timeout(900)]  # the first builds the plugin and starts the node

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CALLER = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=1"}
SERVICE = "cherche.v1.PluginService/"


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    yield Recorded()
    telemetry.off()


async def sent(url: str, path: str, body: str, headers: dict[str, str]) -> dict[str, Any]:
    given = {"content-type": "application/json", **headers}
    async with aiohttp.ClientSession() as client, client.post(f"{url}{path}", data=body, headers=given) as answer:
        assert answer.status == 200, await answer.text()
        return dict(await answer.json())


def calls(recorded: Recorded) -> dict[str, Any]:
    spans = recorded.exporter.get_finished_spans()
    return {span.name.removeprefix(SERVICE): span for span in spans if span.name.startswith(SERVICE)}


async def test_a_search_is_one_trace_from_the_client_to_the_model(
    fed: Cluster, plugin_url: str, recorded: Recorded
) -> None:
    path = f"/{fed.index}/_search?search_pipeline={await search_pipeline(fed)}"
    reply = await sent(plugin_url, path, json.dumps(page("car never seen in a trace")), CALLER)
    assert reply["hits"]["hits"]
    found = calls(recorded)
    assert "PrepareQuery" in found
    for span in found.values():
        assert f"{span.context.trace_id:032x}" == TRACE
        assert f"{span.parent.span_id:016x}" == PARENT
        assert span.context.trace_state.get("vendor") == "1"
    stages = {span.name for span in recorded.exporter.get_finished_spans() if span.context.trace_id == int(TRACE, 16)}
    assert {"tokenize", "queue", "encode"} <= stages


async def test_a_bulk_is_part_of_its_clients_trace(cluster: Cluster, plugin_url: str, recorded: Recorded) -> None:
    pipeline = await ingest_pipeline(cluster)
    lines = [json.dumps({"index": {"_id": "d"}}), json.dumps({"text": "a document of a trace"}), ""]
    await sent(plugin_url, f"/{cluster.index}/_bulk?pipeline={pipeline}", "\n".join(lines), CALLER)
    span = calls(recorded)["PrepareDocuments"]
    assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, PARENT)


async def test_a_request_without_a_trace_begins_one(fed: Cluster, plugin_url: str, recorded: Recorded) -> None:
    path = f"/{fed.index}/_search?search_pipeline={await search_pipeline(fed)}"
    await sent(plugin_url, path, json.dumps(page("car of nobody")), {})
    span = calls(recorded)["PrepareQuery"]
    assert span.parent is None
    assert f"{span.context.trace_id:032x}" != TRACE
