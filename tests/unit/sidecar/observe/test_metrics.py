from __future__ import annotations

import pytest
from prometheus_client import generate_latest

from sidecar.observe.metrics import BatchMetrics, Metrics
from sidecar.values.search import RerankOutcome, RerankStatus, Timings


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_names_follow_the_conventions() -> None:
    metrics = Metrics()
    lines = generate_latest(metrics.registry).decode().splitlines()
    families = [line.split()[2:4] for line in lines if line.startswith("# TYPE")]
    assert families
    for name, kind in families:
        assert name.startswith("cherche_")
        assert (kind == "counter") == name.endswith("_total")
        assert not name.endswith(("_ms", "_kb"))


def test_a_call_is_counted_with_its_code() -> None:
    metrics = Metrics()
    with metrics.call("S/M") as ended:
        assert sample(metrics, "cherche_requests_in_flight", method="S/M") == 1
        ended("OK")
    with pytest.raises(ValueError, match="x"), metrics.call("S/M"):
        raise ValueError("x")
    assert sample(metrics, "cherche_requests_total", method="S/M", code="OK") == 1
    assert sample(metrics, "cherche_requests_total", method="S/M", code="UNKNOWN") == 1
    assert sample(metrics, "cherche_request_duration_seconds_count", method="S/M") == 2
    assert sample(metrics, "cherche_requests_in_flight", method="S/M") == 0


def test_stages_and_reranks_are_counted() -> None:
    metrics = Metrics()
    metrics.stages(Timings(encode=0.5, engine=0.25))
    metrics.reranked(RerankOutcome(RerankStatus.APPLIED))
    assert sample(metrics, "cherche_stage_duration_seconds_sum", stage="encode") == 0.5
    assert sample(metrics, "cherche_stage_duration_seconds_count", stage="rerank") is None
    assert sample(metrics, "cherche_reranks_total", status="APPLIED") == 1


def test_hits_are_counted_by_where_their_codes_came_from() -> None:
    metrics = Metrics()
    metrics.codes_found(90, 10)
    metrics.codes_found(100, 0)
    found = [sample(metrics, "cherche_hit_codes_total", outcome=outcome) for outcome in ("kept", "asked")]
    assert found == [190, 10]


def test_batches_are_measured() -> None:
    metrics = Metrics()
    observer = BatchMetrics(metrics, "m")
    observer.queue("ingest", 7, 1.5)
    observer.batch(90, 128, 0.25)
    observer.dropped(3)
    observer.refused("query")
    observer.isolated("poison")
    assert sample(metrics, "cherche_queue_texts", model="m", lane="ingest") == 7
    assert sample(metrics, "cherche_queue_oldest_seconds", model="m") == 1.5
    assert sample(metrics, "cherche_batch_tokens_sum", model="m") == 90
    assert sample(metrics, "cherche_padding_tokens_total", model="m") == 38
    assert sample(metrics, "cherche_dropped_texts_total", model="m") == 3
    assert sample(metrics, "cherche_refused_calls_total", model="m", lane="query") == 1
    assert sample(metrics, "cherche_split_batches_total", model="m", reason="poison") == 1
