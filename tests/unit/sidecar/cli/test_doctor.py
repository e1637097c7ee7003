"""Checks, and the next step of what is out of order."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from sidecar.cli import cherche
from tests.unit.sidecar.cli.conftest import Command


def test_doctor_passes_an_index_and_reports_a_missing_one(articles: Command) -> None:
    report = articles.json("doctor", "articles")
    assert report["ok"]
    assert {"environment", "torch", "model fake", "engine", "index articles"} <= {c["what"] for c in report["checks"]}
    found = articles.json("doctor", "nowhere", code=1)
    (finding,) = [check for check in found["checks"] if not check["is_ok"]]
    assert "cherche setup nowhere" in finding["next_step"]


def test_doctor_reports_that_no_sidecar_answers(tmp_path: Path) -> None:
    result = CliRunner().invoke(cherche, ["doctor", "--server", "127.0.0.1:1"])
    assert result.exit_code == 1
    assert "cherche serve" in result.stdout
