from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from sidecar.errors import ChercheError, Code
from sidecar.observe import telemetry

pytest.importorskip("opentelemetry.sdk", reason="OpenTelemetry's SDK, of the extra otel, is not installed")

from opentelemetry import trace

from tests.recorded import Recorded

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CALLER = {"traceparent": f"00-{TRACE}-{PARENT}-01"}


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    yield Recorded()
    telemetry.off()


def test_a_call_is_a_child_of_its_caller(recorded: Recorded) -> None:
    with telemetry.rpc("cherche.v1.SearchService/Search", CALLER, streams=False) as ended:
        with telemetry.stage("engine"):
            pass
        telemetry.stage_of_past("queue", 0.5, 0.2, **{"cherche.lane": "query"})
        ended("OK")
    call, engine, queue = (recorded.spans[name] for name in ("cherche.v1.SearchService/Search", "engine", "queue"))
    assert (format(call.context.trace_id, "032x"), format(call.parent.span_id, "016x")) == (TRACE, PARENT)
    assert call.kind is trace.SpanKind.SERVER
    expected = {
        "rpc.system.name": "grpc",
        "rpc.method": "cherche.v1.SearchService/Search",
        "rpc.response.status_code": "OK",
    }
    assert dict(call.attributes) == expected
    assert engine.parent.span_id == queue.parent.span_id == call.context.span_id
    assert queue.end_time - queue.start_time == pytest.approx(0.3e9, rel=1e-6)
    assert dict(queue.attributes) == {"cherche.lane": "query"}
    assert recorded.measured() == {"rpc.server.call.duration": [expected]}


@pytest.mark.parametrize(("code", "is_fault"), [("INVALID_ARGUMENT", False), ("CANCELLED", False), ("INTERNAL", True)])
def test_only_a_fault_of_the_server_is_an_error(code: str, is_fault: bool, recorded: Recorded) -> None:
    def call() -> None:
        with telemetry.rpc("S/M", {}, streams=False) as ended:
            ended(code)
            raise ValueError("aborted, with a text of the caller's")

    with pytest.raises(ValueError, match="aborted"):
        call()
    span = recorded.spans["S/M"]
    assert span.parent is None
    assert span.status.is_ok is not is_fault
    assert span.attributes["rpc.response.status_code"] == code
    assert span.attributes.get("error.type") == (code if is_fault else None)
    assert not span.events  # an exception may quote what somebody searched for
    assert "text of the caller's" not in span.to_json()


def test_stages_of_a_stream_have_no_spans_and_its_requests_are_measured(recorded: Recorded) -> None:
    with telemetry.rpc("S/Feed", {}, streams=True) as ended:
        with telemetry.stage("engine"), telemetry.db("bulk", "", {"db.system.name": "opensearch"}):
            telemetry.stage_of_past("encode", 1.0, 0.0)
        ended("OK")
    assert set(recorded.spans) == {"S/Feed"}
    operation = {"db.system.name": "opensearch", "db.operation.name": "bulk"}
    assert recorded.measured()["db.client.operation.duration"] == [operation]
    with telemetry.stage("engine"):
        pass
    assert "engine" in recorded.spans


def test_a_request_to_a_cluster_fails_by_its_status(recorded: Recorded) -> None:
    def request() -> None:
        with telemetry.db("search", "articles", {"db.system.name": "opensearch"}) as outcome:
            outcome.error = outcome.attributes["db.response.status_code"] = "404"
            raise KeyError

    with pytest.raises(KeyError):
        request()
    span = recorded.spans["search articles"]
    assert span.kind is trace.SpanKind.CLIENT
    assert not span.status.is_ok
    assert dict(span.attributes) == {
        "db.system.name": "opensearch",
        "db.operation.name": "search",
        "db.collection.name": "articles",
        "db.response.status_code": "404",
        "error.type": "404",
    }


def test_an_http_request(recorded: Recorded) -> None:
    with telemetry.http("POST", "/rerank", "http", CALLER) as ended:
        ended(503)
    span = recorded.spans["POST /rerank"]
    assert format(span.parent.span_id, "016x") == PARENT
    assert dict(span.attributes) == {
        "http.request.method": "POST",
        "http.route": "/rerank",
        "url.scheme": "http",
        "http.response.status_code": 503,
        "error.type": "503",
    }


def test_what_goes_out_names_the_span_around_it(recorded: Recorded) -> None:
    assert telemetry.carried() == {}
    with telemetry.rpc("S/M", CALLER | {"tracestate": "vendor=1"}, streams=False), telemetry.stage("engine"):
        carried = telemetry.carried()
    engine = recorded.spans["engine"].context
    assert carried == {"traceparent": f"00-{TRACE}-{engine.span_id:016x}-01", "tracestate": "vendor=1"}


def test_off_is_nothing() -> None:
    telemetry.off()
    with telemetry.rpc("S/M", CALLER, streams=False) as ended, telemetry.stage("engine"), telemetry.db("a", "b", {}):
        ended("OK")
        assert telemetry.carried() == {}
    telemetry.stage_of_past("queue", 1.0, 0.0)


def test_nothing_is_imported_before_it_is_used() -> None:
    """By a server and a client; the web framework imports the API by itself."""
    code = (
        "import sys, sidecar.serve, sidecar.rpc.server, sidecar.client, sidecar.engines.opensearch\n"
        "from sidecar.observe import telemetry\n"
        "with telemetry.rpc('S/M', {}, streams=False), telemetry.stage('engine'): telemetry.carried()\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ChercheError) as caught:
        telemetry.start({}, "1")
    assert caught.value.code is Code.FAILED_PRECONDITION
    assert "cherche-sidecar[otel]" in caught.value.next_step


def test_an_exporter_that_is_not_there_is_refused() -> None:
    with pytest.raises(ChercheError, match="OTEL_TRACES_EXPORTER is 'jaeger'") as caught:
        telemetry.start({"OTEL_TRACES_EXPORTER": "jaeger"}, "1")
    assert caught.value.code is Code.INVALID_ARGUMENT


def test_it_starts_and_stops_by_the_standard_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the exporter of the extra otel is missing")
    environment = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}
    stop = telemetry.start(environment, "1.2")
    with telemetry.stage("engine"):
        assert telemetry.carried()["traceparent"].startswith("00-")
    stop()
    assert telemetry.carried() == {}
