"""Checks, and the next step of what is out of order."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from sidecar.cli import cherche
from tests.unit.sidecar.cli.conftest import Command


def test_doctor_is_content_and_then_is_not(articles: Command) -> None:
    report = articles.json("doctor", "articles")
    assert report["ok"]
    assert {"environment", "torch", "model fake", "engine", "index articles"} <= {c["what"] for c in report["checks"]}
    found = articles.json("doctor", "nowhere", code=1)
    (finding,) = [check for check in found["checks"] if not check["is_ok"]]
    assert "cherche setup nowhere" in finding["next_step"]


def test_doctor_says_that_nothing_answers(tmp_path: Path) -> None:
    result = CliRunner().invoke(cherche, ["doctor", "--server", "127.0.0.1:1"])
    assert result.exit_code == 1
    assert "cherche serve" in result.stdout
