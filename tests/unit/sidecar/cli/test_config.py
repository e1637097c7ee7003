"""The settings in force and their sources."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sidecar.cli import cherche


def test_config_says_where_each_value_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cherche.toml").write_text('port = 1234\n[limits]\nitems = 9\n[models]\na = "b"\n')
    monkeypatch.setenv("CHERCHE_PORT", "4321")
    monkeypatch.setenv("CHERCHE_TOKEN", "a secret")
    result = CliRunner().invoke(cherche, ["config", "--json"])
    shown = json.loads(result.stdout)
    assert (shown["port"]["value"], shown["port"]["origin"]) == (4321, "environment")
    assert (shown["limits.items"]["value"], shown["limits.items"]["origin"]) == (9, "file")
    assert shown["models"]["value"] == {"a": "b"}
    assert shown["host"]["origin"] == "default"
    assert "a secret" not in result.stdout


def test_an_unknown_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHERCHE_PROT", "1")
    result = CliRunner().invoke(cherche, ["config"])
    assert result.exit_code == 1
    assert "CHERCHE_PORT" in result.stderr
