"""A Grafana dashboard of the sidecar's metrics: ``python -m sidecar.observe.dashboard opensearch/dashboards``."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = "sidecar.json"
_WIDTH, _HEIGHT, _COLUMNS = 8, 8, 24
_RATE = "[$__rate_interval]"
_CHOSEN = 'instance=~"$instance"'


@dataclass(frozen=True, slots=True)
class Panel:
    """One graph: its title, its unit (one of Grafana's) and its queries with their legends."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]


def _rate(metric: str, by: str, only: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{{{_CHOSEN}{only}}}{_RATE}))"


def _quantile(q: float, metric: str, by: str) -> str:
    return f"histogram_quantile({q}, {_rate(f'{metric}_bucket', f'le, {by}')})"


def _share(part: str, whole: str) -> str:
    return f"{_rate(part, 'instance')} / {_rate(whole, 'instance')}"


PANELS = (
    Panel("Calls per second", "reqps", (("{{method}}", _rate("cherche_requests_total", "method")),)),
    Panel(
        "Failed calls per second",
        "reqps",
        (("{{method}} {{code}}", _rate("cherche_requests_total", "method, code", ',code!="OK"')),),
    ),
    Panel(
        "Duration of calls, p99",
        "s",
        (("{{method}}", _quantile(0.99, "cherche_request_duration_seconds", "method")),),
    ),
    Panel("Duration of stages, p50", "s", (("{{stage}}", _quantile(0.5, "cherche_stage_duration_seconds", "stage")),)),
    Panel("Duration of stages, p99", "s", (("{{stage}}", _quantile(0.99, "cherche_stage_duration_seconds", "stage")),)),
    Panel(
        "Reranks by status, per second",
        "ops",
        (("{{status}}", _rate("cherche_reranks_total", "status")),),
    ),
    Panel(
        "Hits to rerank by where their codes came from, per second",
        "ops",
        (("{{outcome}}", _rate("cherche_hit_codes_total", "outcome")),),
    ),
    Panel(
        "Age of the oldest waiting text",
        "s",
        (("{{instance}} {{model}}", f"max by (instance, model) (cherche_queue_oldest_seconds{{{_CHOSEN}}})"),),
    ),
    Panel(
        "Waiting texts",
        "short",
        (("{{model}} {{lane}}", f"sum by (model, lane) (cherche_queue_texts{{{_CHOSEN}}})"),),
    ),
    Panel(
        "Calls refused with a full queue, per second",
        "reqps",
        (("{{model}} {{lane}}", _rate("cherche_refused_calls_total", "model, lane")),),
    ),
    Panel(
        "Texts by outcome, per second",
        "ops",
        (("{{method}} {{outcome}}", _rate("cherche_items_total", "method, outcome")),),
    ),
    Panel(
        "Truncated texts per second",
        "ops",
        (("{{method}}", _rate("cherche_truncated_texts_total", "method")),),
    ),
    Panel("Forward passes, p99", "s", (("{{model}}", _quantile(0.99, "cherche_batch_duration_seconds", "model")),)),
    Panel(
        "Padding per token",
        "percentunit",
        (("{{instance}}", _share("cherche_padding_tokens_total", "cherche_batch_tokens_sum")),),
    ),
    Panel(
        "Split batches per second",
        "ops",
        (("{{model}} {{reason}}", _rate("cherche_split_batches_total", "model, reason")),),
    ),
    Panel("Ready models", "short", (("{{instance}} {{model}}", f"cherche_model_ready{{{_CHOSEN}}}"),)),
)


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it; Grafana asks for the Prometheus data source."""
    return {
        "title": "cherche sidecar",
        "uid": "cherche-sidecar",
        "schemaVersion": 39,
        "tags": ["cherche"],
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "30s",
        "templating": {"list": [_data_source(), _instances()]},
        "panels": [_panel(number, panel) for number, panel in enumerate(PANELS)],
    }


def generate(folder: Path) -> None:
    """Write the dashboard into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_text(json.dumps(dashboard(), indent=1) + "\n", encoding="utf-8")


def _data_source() -> dict[str, Any]:
    return {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _instances() -> dict[str, Any]:
    query = "label_values(cherche_model_ready, instance)"
    return {
        "name": "instance",
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "${source}"},
        "query": query,
        "definition": query,
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    across = _COLUMNS // _WIDTH
    source = {"type": "prometheus", "uid": "${source}"}
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": source,
        "gridPos": {"x": number % across * _WIDTH, "y": number // across * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": source, "expr": expression, "legendFormat": legend}
            for place, (legend, expression) in enumerate(panel.queries)
        ],
    }


if __name__ == "__main__":
    generate(Path(sys.argv[1]))
