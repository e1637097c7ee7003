"""A search is one trace, from the application to the model and the engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from sidecar.config import Gateway, Settings
from sidecar.errors import ChercheError
from sidecar.observe import telemetry
from sidecar.protocols import Engine
from sidecar.testing import FakeModel, RunningServer, running_server
from sidecar.values.encoded import Text
from sidecar.values.search import SearchRequest

pytest.importorskip("opentelemetry.sdk", reason="OpenTelemetry's SDK, of the extra otel, is not installed")

from tests.integration.rpc.conftest import until
from tests.recorded import Recorded


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    yield Recorded()
    telemetry.off()


async def ended(recorded: Recorded, name: str) -> Any:
    """A call's span, which ends after its caller has the answer."""
    await until(lambda: name in recorded.spans)
    return recorded.spans[name]


def below(recorded: Recorded, parent: Any) -> set[str]:
    spans = recorded.exporter.get_finished_spans()
    return {span.name for span in spans if span.parent and span.parent.span_id == parent.context.span_id}


async def test_a_search_has_all_its_stages(fed: RunningServer, recorded: Recorded) -> None:
    application = recorded.tracers.get_tracer("application")
    with application.start_as_current_span("page") as page:
        result = await fed.client.search(SearchRequest("cars", "car", rerank=True))
    call = await ended(recorded, "cherche.v1.SearchService/Search")
    assert call.parent.span_id == page.get_span_context().span_id
    assert below(recorded, call) == {"tokenize", "queue", "encode", "engine", "rerank"}
    assert {span.context.trace_id for span in recorded.exporter.get_finished_spans()} == {call.context.trace_id}
    encode = recorded.spans["encode"]
    assert dict(encode.attributes) == {"cherche.model": "fake", "cherche.lane": "query", "cherche.texts": 1}
    # Stages as the answer states them; two clocks, and milliseconds on the wire.
    for name in ("encode", "engine", "rerank"):
        span = recorded.spans[name]
        assert (span.end_time - span.start_time) / 1e9 == pytest.approx(getattr(result.timings, name), abs=0.01)
        assert call.start_time <= span.start_time <= span.end_time <= call.end_time
    await until(lambda: "rpc.server.call.duration" in recorded.measured())
    measured = recorded.measured()["rpc.server.call.duration"]
    assert {point["rpc.response.status_code"] for point in measured} == {"OK"}


async def test_a_refused_call_says_so_and_is_no_fault(fed: RunningServer, recorded: Recorded) -> None:
    with pytest.raises(ChercheError):
        await fed.client.search(SearchRequest("nowhere", "car"))
    call = await ended(recorded, "cherche.v1.SearchService/Search")
    assert call.attributes["rpc.response.status_code"] == "NOT_FOUND"
    assert call.status.is_ok


async def test_a_feed_is_one_span(recorded: Recorded, fed: RunningServer) -> None:
    await ended(recorded, "cherche.v1.IndexService/IndexDocuments")
    calls = [span.name for span in recorded.exporter.get_finished_spans()]
    assert calls.count("cherche.v1.IndexService/IndexDocuments") == 1
    assert "encode" not in calls


async def test_a_rerank_of_texts_over_either_port(engine: Engine, recorded: Recorded) -> None:
    settings = Settings(gateway=Gateway(port=0))
    async with running_server(engine, [FakeModel()], settings=settings) as server:
        await server.client.rerank("red car", [Text("a car")])
        call = await ended(recorded, "cherche.v1.RerankerService/Rerank")
        assert below(recorded, call) == {"tokenize", "queue", "encode", "rerank"}
        recorded.exporter.clear()
        headers = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
        body = {"query": "red car", "texts": ["a car"]}
        async with (
            aiohttp.ClientSession(server.sidecar.gateway_url, headers=headers) as client,
            client.post("/rerank", json=body) as answer,
        ):
            assert answer.status == 200
    request = await ended(recorded, "POST /rerank")
    assert f"{request.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert request.attributes["http.response.status_code"] == 200
    assert {"tokenize", "queue", "encode", "rerank"} <= below(recorded, request)
