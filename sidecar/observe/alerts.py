"""Prometheus alerts on the sidecar's metrics: ``python -m sidecar.observe.alerts opensearch/dashboards``.

Each has a section of its own in ``sidecar/docs/operations.md``, which says what it means and what to do.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

FILE = "sidecar.rules.json"
RUNBOOK = "sidecar/docs/operations.md"
_SERVER_FAULTS = "INTERNAL|UNAVAILABLE|DEADLINE_EXCEEDED"
_RERANKED = "NOT_REQUESTED|APPLIED|SKIPPED_SORT|OUTSIDE_WINDOW"


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert.

    Attributes
    ----------
    name : str
    expression : str
        In PromQL; each series that it yields fires.
    lasting : str
        How long it must hold, as Prometheus writes durations.
    severity : {"page", "ticket"}
        Whether somebody must act now.
    summary : str
        With Prometheus' templates for labels.
    """

    name: str
    expression: str
    lasting: str
    severity: Literal["page", "ticket"]
    summary: str


def _rate(metric: str, by: str, only: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{{{only}}}[5m]))"


def _share(metric: str, by: str, part: str, more_than: float) -> str:
    return f"{_rate(metric, by, part)} / {_rate(metric, by)} > {more_than:g}"


ALERTS = (
    Alert(
        "ChercheNoModelReady",
        "max by (instance) (cherche_model_ready) == 0",
        "2m",
        "page",
        "{{ $labels.instance }} serves no model",
    ),
    Alert(
        "ChercheCallsFail",
        _share("cherche_requests_total", "instance, method", f'code=~"{_SERVER_FAULTS}"', 0.05),
        "5m",
        "page",
        "more than 5 % of {{ $labels.method }} on {{ $labels.instance }} fail",
    ),
    Alert(
        "ChercheSearchIsSlow",
        "histogram_quantile(0.99, "
        + _rate("cherche_request_duration_seconds_bucket", "le, instance", 'method="SearchService/Search"')
        + ") > 1",
        "10m",
        "page",
        "one search in a hundred on {{ $labels.instance }} takes more than a second",
    ),
    Alert(
        "ChercheQueueStalls",
        "max by (instance, model) (cherche_queue_oldest_seconds) > 30",
        "5m",
        "page",
        "texts wait for {{ $labels.model }} on {{ $labels.instance }} for more than 30 s",
    ),
    Alert(
        "ChercheCallsRefused",
        _rate("cherche_refused_calls_total", "instance, model, lane") + " > 0",
        "10m",
        "ticket",
        "{{ $labels.instance }} refuses calls of the lane {{ $labels.lane }}, as its queue is full",
    ),
    Alert(
        "ChercheReranksFail",
        _share("cherche_reranks_total", "instance", f'status!~"{_RERANKED}"', 0.05),
        "10m",
        "ticket",
        "more than 5 % of the searches on {{ $labels.instance }} are answered without the rerank they asked for",
    ),
    Alert(
        "ChercheDocumentsFail",
        _share("cherche_items_total", "instance, method", 'outcome="failed"', 0.01),
        "10m",
        "ticket",
        "more than 1 % of the items of {{ $labels.method }} on {{ $labels.instance }} fail",
    ),
)


def rules() -> dict[str, Any]:
    """The alerts as Prometheus reads them from a rule file; JSON is YAML too."""
    return {"groups": [{"name": "cherche", "rules": [_rule(alert) for alert in ALERTS]}]}


def section(alert: Alert) -> str:
    """The anchor of an alert's section in the runbook."""
    return alert.name.lower()


def _rule(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expression,
        "for": alert.lasting,
        "labels": {"severity": alert.severity},
        "annotations": {"summary": alert.summary, "runbook": f"{RUNBOOK}#{section(alert)}"},
    }


def generate(folder: Path) -> None:
    """Write the rule file into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_text(json.dumps(rules(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    generate(Path(sys.argv[1]))
