"""Without --server the sidecar lives in the command's own process, and loads what an index remembers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import sidecar.models.library
from sidecar.cli import cherche
from sidecar.errors import precondition
from sidecar.testing import FakeModel
from tests.unit.sidecar.cli.conftest import Command


@pytest.fixture(autouse=True)
def loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Names of the models that were loaded, in order; each a fake that differs from the others."""
    names: list[str] = []

    def load(name: str, source: str, **_: Any) -> FakeModel:
        names.append(name)
        return FakeModel(name=name)

    monkeypatch.setattr(sidecar.models.library, "load_model", load)
    monkeypatch.setenv("CHERCHE_EMBEDDED__PATH", str(tmp_path / "index.sqlite"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus.jsonl").write_text('{"_id": "1", "text": "ducks swim"}\n')
    (tmp_path / "model").mkdir()
    return names


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(cherche, arguments, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def test_the_shipped_model_serves_where_none_is_named(loaded: list[str]) -> None:
    run("setup", "articles")
    run("feed", "articles", "corpus.jsonl")
    assert json.loads(run("search", "articles", "ducks", "--json").stdout)["hits"][0]["id"] == "1"
    assert loaded == ["cherche-small"] * 3


def test_a_folder_is_remembered_with_the_index(loaded: list[str], tmp_path: Path) -> None:
    run("setup", "articles", "--model", "./model", "--reranker", "hub/colbert")
    loaded.clear()
    assert json.loads(run("feed", "articles", "corpus.jsonl", "--json").stdout)["encoded"] == 1
    assert loaded == ["cherche-small", str(tmp_path / "model"), "hub/colbert"]
    page = json.loads(run("search", "articles", "ducks", "--rerank", "--json").stdout)
    assert page["rerank"]["status"] == "APPLIED"
    assert "all in order" in run("doctor", "articles").stdout


def test_a_model_can_be_named_for_one_call(loaded: list[str], tmp_path: Path) -> None:
    run("encode", "ducks", "--model", "./model")
    assert loaded == ["cherche-small", str(tmp_path / "model")]


def test_a_reranker_can_be_named_for_one_search(loaded: list[str], tmp_path: Path) -> None:
    run("setup", "articles")
    run("feed", "articles", "corpus.jsonl")
    loaded.clear()
    page = json.loads(run("search", "articles", "ducks", "--rerank", "--reranker", "./model", "--json").stdout)
    assert page["rerank"]["status"] == "APPLIED"
    assert loaded == ["cherche-small", str(tmp_path / "model")]
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "ducks"}\n')
    (tmp_path / "qrels.tsv").write_text("q 0 1 1\n")
    judged = ["--queries", "queries.jsonl", "--qrels", "qrels.tsv", "--json"]
    report = json.loads(run("eval", "articles", *judged, "--modes", "hybrid+rerank", "--reranker", "./model").stdout)
    assert report["modes"]["hybrid+rerank"]["rerank_status"] == {"APPLIED": 1}
    loaded.clear()
    run("compare", "articles/hybrid+rerank", "articles/hybrid+rerank?reranker=./model", *judged)
    assert str(tmp_path / "model") in loaded


def test_what_a_named_model_was_taken_for_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str, source: str, **_: Any) -> FakeModel:
        return FakeModel(name=name, note="a sentence encoder" if name == "hub/encoder" else "")

    monkeypatch.setattr(sidecar.models.library, "load_model", load)
    assert "encoder is a sentence encoder" in run("setup", "articles", "--reranker", "hub/encoder").stderr
    assert "encoder is a sentence encoder" in run("rerank", "q", "text", "--model", "hub/encoder").stderr
    for quiet in (["setup", "articles", "--reranker", "hub/encoder", "--quiet"], ["search", "articles", "ducks"]):
        assert "sentence encoder" not in run(*quiet).stderr


def test_a_model_that_cannot_be_loaded_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str, source: str, **_: Any) -> FakeModel:
        raise precondition(f"{source} holds no model", "name another folder")

    monkeypatch.setattr(sidecar.models.library, "load_model", broken)
    stderr = run("encode", "ducks", code=1).stderr
    assert stderr.count("holds no model") == 1
    assert "name another folder" in stderr


def test_a_file_that_cannot_be_an_index_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other.sqlite").write_text("not a database, but long enough to be looked at as if it were one" * 20)
    monkeypatch.setenv("CHERCHE_EMBEDDED__PATH", str(tmp_path / "other.sqlite"))
    assert "other.sqlite" in run("search", "articles", "ducks", code=1).stderr


@pytest.mark.parametrize("flags", [["--engine", "embedded"], ["--url", "http://localhost:9200"]])
def test_a_running_sidecar_is_not_configured_from_here(command: Command, flags: list[str]) -> None:
    assert "belongs to the server" in command("search", "articles", "x", *flags, code=2).stderr


@pytest.mark.parametrize("verb", [["setup", "a"], ["encode", "text"], ["rerank", "query", "text"]])
def test_a_running_sidecar_takes_no_folder_of_this_machine(command: Command, verb: list[str]) -> None:
    assert "folder of this machine" in command(*verb, "--model", str(command.folder), code=2).stderr
