"""The alerts are fresh, ask for metrics and labels that there are, and have a section each in the runbook."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sidecar.errors import Code
from sidecar.observe import alerts
from sidecar.pb.cherche.v1 import search_pb2
from sidecar.rpc.interceptors import OWN
from sidecar.values.search import RerankStatus
from tests.unit.sidecar.observe.test_dashboard import FOLDER, SCRAPED, known

PAGE = Path(alerts.__file__).parents[1] / "docs" / "operations.md"


def test_the_file_is_what_the_code_writes(tmp_path: Path) -> None:
    alerts.generate(tmp_path)
    assert (tmp_path / alerts.FILE).read_text() == (FOLDER / alerts.FILE).read_text()
    [group] = json.loads((FOLDER / alerts.FILE).read_text())["groups"]
    assert [rule["alert"] for rule in group["rules"]] == [alert.name for alert in alerts.ALERTS]


@pytest.mark.parametrize("alert", alerts.ALERTS, ids=lambda alert: alert.name)
def test_it_asks_for_what_there_is(alert: alerts.Alert) -> None:
    labels = known()
    series = set(re.findall(r"cherche_\w+", alert.expression))
    assert series <= set(labels)
    allowed = set.union(*(labels[name] for name in series)) | SCRAPED
    grouped = {name for group in re.findall(r"by \(([^)]*)\)", alert.expression) for name in group.split(", ")}
    filtered = set(re.findall(r'(\w+)[!=]~?=?"', alert.expression))
    shown = set(re.findall(r"\$labels\.(\w+)", alert.summary))
    assert grouped | filtered <= allowed
    assert shown <= grouped
    assert alert.expression.count("(") == alert.expression.count(")")


def test_their_values_of_labels_are_those_of_the_sidecar() -> None:
    written = {
        name: value for one in alerts.ALERTS for name, value in re.findall(r'(\w+)[!=]~?"([^"]*)"', one.expression)
    }
    assert set(written["code"].split("|")) <= {code.value for code in Code}
    statuses = {value for name, value in vars(RerankStatus).items() if name.isupper()}
    assert set(written["status"].split("|")) <= statuses
    [service] = search_pb2.DESCRIPTOR.services_by_name.values()
    assert f"/{service.full_name}/Search" == OWN + written["method"]


def test_each_has_a_section_that_says_what_to_do() -> None:
    sections = re.findall(r"^## (\w+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sections == [alert.name for alert in alerts.ALERTS]
    links = re.findall(r"\]\(#([\w-]+)\)", PAGE.read_text(encoding="utf-8"))
    assert set(links) <= {alerts.section(alert) for alert in alerts.ALERTS}
