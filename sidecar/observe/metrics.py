"""Prometheus metrics in base units, without ids, texts or credentials."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, make_asgi_app

from sidecar.protocols import BatchObserver
from sidecar.values.model import Lane
from sidecar.values.search import RerankOutcome, Timings

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_TOKENS = (32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
_STAGES = ("tokenize", "queue", "encode", "engine", "rerank")


class Metrics:
    """All metrics of one process, in a registry of their own.

    Parameters
    ----------
    registry : CollectorRegistry
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.requests = self._counter("requests", "Calls by method and status code.", "method", "code")
        self.request_seconds = self._histogram("request_duration_seconds", "Duration of calls.", _SECONDS, "method")
        self.in_flight = self._gauge("requests_in_flight", "Calls in progress.", "method")
        self.stage_seconds = self._histogram(
            "stage_duration_seconds", "Duration of the stages of a call.", _SECONDS, "stage"
        )
        self.items = self._counter("items", "Documents and texts by method and outcome.", "method", "outcome")
        self.truncated = self._counter("truncated_texts", "Texts cut to the maximum length.", "method")
        self.reranks = self._counter("reranks", "Searches by rerank status.", "status")
        self.codes = self._counter("hit_codes", "Hits to rerank, by whether their codes were kept.", "outcome")
        self.on_demand = self._counter(
            "on_demand_documents", "Documents found without codes, by what became of them.", "outcome"
        )
        self.on_demand_waiting = self._gauge("on_demand_waiting", "Documents whose codes are to be written.")
        self.queue_texts = self._gauge("queue_texts", "Texts waiting for a model.", "model", "lane")
        self.queue_seconds = self._gauge(
            "queue_oldest_seconds", "Age of the oldest waiting text when the queue last changed.", "model"
        )
        self.batch_tokens = self._histogram("batch_tokens", "Tokens of a batch without padding.", _TOKENS, "model")
        self.padding = self._counter("padding_tokens", "Tokens of padding.", "model")
        self.batch_seconds = self._histogram("batch_duration_seconds", "Duration of forward passes.", _SECONDS, "model")
        self.dropped = self._counter("dropped_texts", "Texts dropped as their calls had ended.", "model")
        self.refused = self._counter("refused_calls", "Calls refused because the queue was full.", "model", "lane")
        self.isolated = self._counter("split_batches", "Batches split, by reason.", "model", "reason")
        self.model_ready = self._gauge("model_ready", "1 if a model is ready, else 0.", "model")

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"cherche_{name}", meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"cherche_{name}", meaning, labels, registry=self.registry)

    def _histogram(self, name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"cherche_{name}", meaning, labels, registry=self.registry, buckets=buckets)

    @contextmanager
    def call(self, method: str) -> Iterator[Callable[[str], None]]:
        """Time a call. Pass its status code to the function that is yielded."""
        code = "UNKNOWN"

        def ended(with_code: str) -> None:
            nonlocal code
            code = with_code

        self.in_flight.labels(method).inc()
        try:
            with self.request_seconds.labels(method).time():
                yield ended
        finally:
            self.in_flight.labels(method).dec()
            self.requests.labels(method, code).inc()

    def stages(self, timings: Timings) -> None:
        """Record the durations of a call's stages."""
        for stage in _STAGES:
            if seconds := getattr(timings, stage):
                self.stage_seconds.labels(stage).observe(seconds)

    def reranked(self, outcome: RerankOutcome) -> None:
        """Count a rerank by its status."""
        self.reranks.labels(outcome.status).inc()

    def codes_found(self, known: int, unknown: int) -> None:
        """Count hits of a search whose codes were kept, and others."""
        self.codes.labels("kept").inc(known)
        self.codes.labels("asked").inc(unknown)

    def made_on_demand(self, outcome: str, count: int, waiting: int) -> None:
        """Count documents without codes by what became of them, and those that wait now."""
        self.on_demand.labels(outcome).inc(count)
        self.on_demand_waiting.set(waiting)

    def app(self) -> Any:  # noqa: ANN401  # an ASGI application
        """ASGI application that answers with all metrics."""
        return make_asgi_app(self.registry)


class BatchMetrics(BatchObserver):
    """Records a model's batches as metrics."""

    def __init__(self, metrics: Metrics, model: str) -> None:
        self._metrics = metrics
        self._model = model

    def queue(self, lane: Lane, waiting: int, oldest: float) -> None:
        """As `BatchObserver.queue`."""
        self._metrics.queue_texts.labels(self._model, lane).set(waiting)
        self._metrics.queue_seconds.labels(self._model).set(oldest)

    def batch(self, real: int, padded: int, seconds: float) -> None:
        """As `BatchObserver.batch`."""
        self._metrics.batch_tokens.labels(self._model).observe(real)
        self._metrics.padding.labels(self._model).inc(padded - real)
        self._metrics.batch_seconds.labels(self._model).observe(seconds)

    def dropped(self, count: int) -> None:
        """As `BatchObserver.dropped`."""
        self._metrics.dropped.labels(self._model).inc(count)

    def refused(self, lane: Lane) -> None:
        """As `BatchObserver.refused`."""
        self._metrics.refused.labels(self._model, lane).inc()

    def isolated(self, reason: str) -> None:
        """As `BatchObserver.isolated`."""
        self._metrics.isolated.labels(self._model, reason).inc()
