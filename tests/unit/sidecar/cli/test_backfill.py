"""`cherche backfill` against a sidecar: what it prints, what it leaves behind, how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sidecar.cli.ledger import Checkpoint
from tests.unit.sidecar.cli.conftest import Command


@pytest.fixture
def bare(articles: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Three documents whose weights were taken out, in a folder of its own."""
    articles("remove", "articles", "--yes")
    articles("setup", "articles")
    monkeypatch.chdir(articles.folder)
    return articles


def test_everything_is_encoded_and_summed_up(bare: Command) -> None:
    summary = bare.json("backfill", "articles")
    assert (summary["finished"], summary["encoded"], summary["failed"]) == (True, 3, 0)
    assert summary["estimate"]["to_encode"] == 3
    assert summary["report"] is None
    assert not list(bare.folder.glob("articles.backfill*"))
    assert bare.json("search", "articles", "cardiac", "--mode", "sparse")["hits"]
    assert "kept" in bare("backfill", "articles").stdout


def test_a_dry_run_says_what_it_will_take(bare: Command) -> None:
    earlier = bare.folder / "articles.backfill.jsonl"
    earlier.write_text("{}\n")
    summary = bare.json("backfill", "articles", "--dry-run", "--cost-per-hour", "2")
    assert earlier.exists()
    assert (summary["finished"], summary["report"]) == (False, None)
    assert summary["estimate"]["documents"] == 3
    assert summary["estimate"]["cost"] >= 0
    assert "time, estimated" in bare("backfill", "articles", "--dry-run").stdout


def test_what_was_not_done_is_reported(bare: Command) -> None:
    fed = bare.write("more.jsonl", [{"_id": "4", "text": "fine"}, {"_id": "5", "text": "will be poison"}])
    bare("remove", "articles", "--yes")
    bare("setup", "articles", "--fields", "text")
    bare("feed", "articles", fed, code=1)
    documents = [{"_id": "5", "text": "fine", "note": "poison"}, {"_id": "6", "text": "fine", "title": ""}]
    bare("feed", "articles", bare.write("late.jsonl", documents))
    bare("remove", "articles", "--yes")
    bare("setup", "articles", "--fields", "title,note")
    summary = bare.json("backfill", "articles", code=1)
    assert (summary["encoded"], summary["failed"], summary["skipped"]) == (3, 1, 2)
    lines = [json.loads(line) for line in Path(summary["report"]).read_text().splitlines()]
    assert [line["id"] for line in lines] == ["5"]
    assert all(line["code"] and line["reason"] for line in lines)


def test_an_index_that_is_not_there_is_named(bare: Command) -> None:
    assert "there is no index 'none'" in bare("backfill", "none", code=1).stderr


def test_a_checkpoint_is_replaced_whole_and_removed_at_the_end(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "a.json")
    assert checkpoint.read() == ""
    checkpoint.write("one")
    checkpoint.write("two")
    assert checkpoint.read() == "two"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    checkpoint.write("")
    assert not list(tmp_path.iterdir())
