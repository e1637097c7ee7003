"""OpenTelemetry: spans of calls and their stages, requests to a cluster, and the durations of both.

Off until `start` or `use` was called: then nothing is imported and a span costs a comparison. Names and attributes are
those of the semantic conventions for ``rpc``, ``http`` and ``db``. No attribute holds a text, an id or a credential;
``url.full`` and ``db.query.text`` would, and are left out.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sidecar.errors import invalid, precondition

if TYPE_CHECKING:
    from opentelemetry.metrics import Histogram, MeterProvider
    from opentelemetry.trace import Span, SpanKind, Tracer, TracerProvider

Value = str | int | float | bool
NAME: Final = "cherche-sidecar"
TRACEPARENT = "traceparent"
_API = "opentelemetry.trace"
# What the conventions for gRPC count as a fault of the server; anything else is the caller's.
_FAULTS = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
_EXPORTERS = ("otlp", "none")

_stages: ContextVar[bool] = ContextVar("stages", default=True)
"""Whether stages get spans: a call that streams has no end of them."""


@dataclass(slots=True)
class _State:
    active: _Telemetry | None = None


_state = _State()


@dataclass(slots=True)
class Outcome:
    """What is noted of a span until it ends: attributes and its kind of error; "" for none, None where nobody said."""

    attributes: dict[str, Value] = field(default_factory=dict)
    error: str | None = None


def start(environment: Mapping[str, str], version: str) -> Callable[[], None]:
    """Export to where the standard ``OTEL_*`` variables say; what it returns sends the rest and ends.

    Providers that the process has already, as under ``opentelemetry-instrument``, are used as they are.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION where the extra is not installed; INVALID_ARGUMENT for an exporter that is not in it.
    """
    for variable in ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER"):
        if (exporter := environment.get(variable, "") or "otlp") not in _EXPORTERS:
            raise invalid(f"{variable} is {exporter!r}", f"set it to {' or '.join(_EXPORTERS)}")
    try:
        from opentelemetry import metrics, trace
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise precondition("OpenTelemetry is not installed", "pip install 'cherche-sidecar[otel]'") from error
    own: list[Callable[[], object]] = []
    resource = Resource.create({"service.version": version})
    if str(resource.attributes["service.name"]).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": NAME}))
    tracers = trace.get_tracer_provider()
    if not isinstance(tracers, TracerProvider):
        tracers = TracerProvider(resource=resource)
        if environment.get("OTEL_TRACES_EXPORTER") != "none":
            tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        own.append(tracers.shutdown)
    meters = metrics.get_meter_provider()
    if not isinstance(meters, MeterProvider):
        exported = environment.get("OTEL_METRICS_EXPORTER") != "none"
        readers = [PeriodicExportingMetricReader(OTLPMetricExporter())] if exported else []
        meters = MeterProvider(readers, resource=resource)
        own.append(meters.shutdown)
    use(tracers, meters)

    def stop() -> None:
        off()
        for end in own:
            end()

    return stop


def use(tracers: TracerProvider, meters: MeterProvider) -> None:
    """Make spans and measurements with these providers, until `off`."""
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    def histogram(name: str, meaning: str) -> Histogram:
        return meter.create_histogram(name, "s", meaning, explicit_bucket_boundaries_advisory=_SECONDS)

    meter = meters.get_meter(NAME)
    _state.active = _Telemetry(
        tracers.get_tracer(NAME),
        TraceContextTextMapPropagator(),
        trace.SpanKind,
        lambda span, reason: span.set_status(trace.Status(trace.StatusCode.ERROR, reason or None)),
        {
            "rpc": histogram("rpc.server.call.duration", "Duration of incoming calls."),
            "http": histogram("http.server.request.duration", "Duration of HTTP server requests."),
            "db": histogram("db.client.operation.duration", "Duration of database client operations."),
        },
    )


def off() -> None:
    """Make none any more."""
    _state.active = None


def rpc(method: str, metadata: Mapping[str, Any], *, streams: bool) -> AbstractContextManager[Callable[[str], None]]:
    """The span of a gRPC call, a child of its caller's; takes the name of its status code at the end.

    Parameters
    ----------
    method : str
        ``package.Service/Method``.
    metadata : mapping
        Of the call; ``traceparent`` and ``tracestate`` are read.
    streams : bool
        Whether it has no end of stages: then they have no spans.
    """
    if _state.active is None:
        return nullcontext(_ignore)
    return _state.active.rpc(method, metadata, streams)


def http(
    method: str, route: str, scheme: str, headers: Mapping[str, str]
) -> AbstractContextManager[Callable[[int], None]]:
    """The span of an HTTP request, likewise; takes the status of the response, 0 where there was none."""
    if _state.active is None:
        return nullcontext(_ignore)
    return _state.active.http(method, route, scheme, headers)


def db(operation: str, collection: str, attributes: Mapping[str, Value]) -> AbstractContextManager[Outcome]:
    """The span of a request to a cluster."""
    if _state.active is None:
        return nullcontext(Outcome())
    return _state.active.db(operation, collection, attributes)


def stage(name: str, **attributes: Value) -> AbstractContextManager[object]:
    """The span of a stage of a call."""
    if _state.active is None or not _stages.get():
        return nullcontext()
    return _state.active.tracer.start_as_current_span(name, attributes=attributes)


def has_stages() -> bool:
    """Whether stages get spans here; ask before their attributes are computed."""
    return _state.active is not None and _stages.get()


def stage_of_past(name: str, began: float, ended: float, **attributes: Value) -> None:
    """The span of a stage that was measured elsewhere; `began` and `ended` in seconds before now."""
    if _state.active is not None and _stages.get():
        now = time.time_ns()
        span = _state.active.tracer.start_span(name, attributes=attributes, start_time=now - int(began * 1e9))
        span.end(now - int(ended * 1e9))


def carried() -> dict[str, str]:
    """Headers of an outgoing request for the trace that this code runs in; none where nothing traces.

    An application's own trace too: one is looked for where something else imported OpenTelemetry.
    """
    if _API not in sys.modules:
        return {}
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    headers: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(headers)
    return headers


@dataclass(frozen=True, slots=True)
class _Telemetry:
    """The parts of OpenTelemetry that are used, so that this module imports none of it."""

    tracer: Tracer
    propagator: Any
    kinds: type[SpanKind]
    fail: Callable[[Span, str], None]
    durations: Mapping[str, Histogram]

    @contextmanager
    def rpc(self, method: str, metadata: Mapping[str, Any], streams: bool) -> Iterator[Callable[[str], None]]:
        attributes: dict[str, Value] = {"rpc.system.name": "grpc", "rpc.method": method}
        before = _stages.get()
        _stages.set(not streams)
        try:
            with self._server("rpc", method, attributes, metadata) as outcome:
                outcome.attributes["rpc.response.status_code"] = "UNKNOWN"

                def ended(code: str) -> None:
                    outcome.attributes["rpc.response.status_code"] = code
                    outcome.error = code if code in _FAULTS else ""

                yield ended
        finally:
            _stages.set(before)  # not reset(): a generator may be closed in another context

    @contextmanager
    def http(self, method: str, route: str, scheme: str, headers: Mapping[str, str]) -> Iterator[Callable[[int], None]]:
        attributes: dict[str, Value] = {"http.request.method": method, "http.route": route, "url.scheme": scheme}
        with self._server("http", f"{method} {route}", attributes, headers) as outcome:

            def ended(status: int) -> None:
                if status:
                    outcome.attributes["http.response.status_code"] = status
                outcome.error = str(status) if status >= 500 else ""

            yield ended

    def db(self, operation: str, collection: str, given: Mapping[str, Value]) -> AbstractContextManager[Outcome]:
        attributes: dict[str, Value] = {**given, "db.operation.name": operation}
        if collection:
            attributes["db.collection.name"] = collection
        name = f"{operation} {collection}".strip()
        if not _stages.get():
            return self._measured("db", None, attributes)
        return self._span("db", name, self.kinds.CLIENT, attributes, None)

    def _server(
        self, convention: str, name: str, attributes: dict[str, Value], carrier: Mapping[str, Any]
    ) -> AbstractContextManager[Outcome]:
        return self._span(convention, name, self.kinds.SERVER, attributes, self.propagator.extract(carrier))

    @contextmanager
    def _span(
        self,
        convention: str,
        name: str,
        kind: SpanKind,
        attributes: dict[str, Value],
        parent: Any,  # noqa: ANN401  # OpenTelemetry's context
    ) -> Iterator[Outcome]:
        # Exceptions may quote texts: what a span says of them is their kind.
        spans = self.tracer.start_as_current_span(
            name, parent, kind, attributes, record_exception=False, set_status_on_exception=False
        )
        with spans as span, self._measured(convention, span, attributes) as outcome:
            yield outcome

    @contextmanager
    def _measured(self, convention: str, span: Span | None, attributes: dict[str, Value]) -> Iterator[Outcome]:
        outcome, started = Outcome(), time.perf_counter()
        try:
            yield outcome
        except Exception as error:
            if outcome.error is None:
                outcome.error = type(error).__name__
            raise
        finally:
            said = dict(outcome.attributes)
            if outcome.error:
                said["error.type"] = outcome.error
            if span is not None:
                span.set_attributes(said)
                if outcome.error:
                    self.fail(span, outcome.error)
            self.durations[convention].record(time.perf_counter() - started, {**attributes, **said})


def _ignore(_: object) -> None: ...
