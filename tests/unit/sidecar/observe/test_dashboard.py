"""The dashboard is fresh, and asks for metrics and labels that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sidecar.observe import dashboard
from sidecar.observe.metrics import Metrics

FOLDER = Path(__file__).parents[4] / "opensearch" / "dashboards"
SCRAPED = {"instance", "le"}


def test_it_is_what_the_code_writes(tmp_path: Path) -> None:
    dashboard.generate(tmp_path)
    assert (tmp_path / dashboard.FILE).read_text() == (FOLDER / dashboard.FILE).read_text()


def known() -> dict[str, set[str]]:
    """Name of a series, as Prometheus stores it, and its labels."""
    labels: dict[str, set[str]] = {}
    for metric in vars(Metrics()).values():
        for name in getattr(metric, "_labelnames", ()):
            for suffix in ("", "_total", "_bucket", "_sum", "_count"):
                labels.setdefault(metric._name + suffix, set()).add(name)
    return labels


@pytest.mark.parametrize("panel", dashboard.PANELS, ids=lambda panel: panel.title)
def test_it_asks_for_what_there_is(panel: dashboard.Panel) -> None:
    labels = known()
    for legend, query in panel.queries:
        series = set(re.findall(r"cherche_\w+", query))
        assert series <= set(labels), query
        grouped = {name for group in re.findall(r"by \(([^)]*)\)", query) for name in group.split(", ")}
        filtered = set(re.findall(r"(\w+)[!=]~?=?\"", query))
        shown = set(re.findall(r"{{(\w+)}}", legend))
        allowed = set.union(*(labels[name] for name in series)) | SCRAPED
        assert grouped | filtered | shown <= allowed
        assert query.count("(") == query.count(")")
        if grouped:
            assert shown <= grouped


def test_no_panel_lies_on_another() -> None:
    panels = json.loads((FOLDER / dashboard.FILE).read_text())["panels"]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len(panels) == len({panel["id"] for panel in panels})
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)
