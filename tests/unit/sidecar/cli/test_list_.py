"""``cherche list``, and the nearest name for one that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from sidecar.cli import cherche
from sidecar.cli.session import Session
from tests.unit.sidecar.cli.conftest import Command


def test_indices_are_listed_with_their_state(articles: Command) -> None:
    articles("setup", "books")
    articles("remove", "books", "--yes")
    shown = articles("list")
    header, row, *_ = shown.stdout.splitlines()
    assert header.split() == ["index", "model", "reranker", "documents", "encoded", "pending", "state"]
    assert row.split() == ["articles", "fake", "3", "3", "0", "ready"]
    assert "1 other indices are not set up" in shown.stderr
    found = articles.json("list")
    assert found["others"] == 1
    assert found["indices"][0]["stats"] == {"documents": 3, "encoded": 3, "pending": 0}


def test_without_an_index_the_next_step_is_named(command: Command) -> None:
    assert "cherche setup" in command("list").stderr


@pytest.mark.parametrize("verb", [["search", "artcles", "x"], ["backfill", "artcles"], ["remove", "artcles", "--yes"]])
def test_a_misspelt_index_is_answered_with_the_nearest(verb: list[str], articles: Command) -> None:
    said = articles(*verb, code=1).stderr
    assert "there is no index 'artcles'" in said
    assert "did you mean 'articles'? otherwise run: cherche setup artcles" in said
    assert "did you mean" not in articles("search", "zzz", "x", code=1).stderr
    assert "did you mean 'articles'?" in articles("doctor", "artcles", code=1).stdout


def test_a_misspelt_model_and_verb_are_too(command: Command) -> None:
    assert "did you mean 'fake'?" in command("models", "get", "fke", code=1).stderr
    assert "Did you mean 'search'?" in command("serch", "a", code=2).stderr
    assert "Did you mean" not in command("xyzzy", code=2).stderr


def test_in_process_the_models_of_the_indices_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHERCHE_EMBEDDED__PATH", str(tmp_path / "index.sqlite"))
    runner = CliRunner()
    for model in ("cherche-tiny", "cherche-small"):
        made = runner.invoke(cherche, ["setup", f"with-{model}", "--model", model], catch_exceptions=False)
        assert made.exit_code == 0, made.output
    loaded: list[str] = []
    load_for = Session.load_for

    async def load(self: Session, client: object, index: str) -> None:
        loaded.append(index)
        await load_for(self, client, index)  # type: ignore[arg-type]

    monkeypatch.setattr(Session, "load_for", load)
    shown = runner.invoke(cherche, ["list"], catch_exceptions=False)
    assert [line.split()[-1] for line in shown.stdout.splitlines()[1:]] == ["ready", "ready"]
    assert loaded == ["with-cherche-tiny"]
