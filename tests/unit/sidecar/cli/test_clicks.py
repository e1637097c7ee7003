"""What clicks say is saved: judgements for eval, pairs for train, with the texts that the index encodes."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.unit.sidecar.cli.conftest import Command

QUERIES, RANKS = 60, 5


def shown(number: int) -> list[str]:
    """The relevant document on a rank that changes with the query, among four others."""
    others = [f"wrong{(number + step) % QUERIES}" for step in range(RANKS - 1)]
    return [*others[: number % RANKS], f"right{number}", *others[number % RANKS :]]


def log_of(command: Command, *, searches: int) -> str:
    """Each query so often, with a click on the relevant document nine times of ten."""
    rng = random.Random(0)
    lines: list[bytes | dict[str, Any]] = [
        {
            "query": f"heart case{number}",
            "shown": shown(number),
            "clicked": [f"right{number}"] if rng.random() < 0.9 else [],
        }
        for number in range(QUERIES)
        for _ in range(searches)
    ]
    return command.write("clicks.jsonl", lines)


@pytest.fixture
def articles(command: Command) -> Command:
    documents: list[bytes | dict[str, Any]] = [
        {"_id": f"right{i}", "title": f"case{i}", "text": "cardiac"} for i in range(1, QUERIES)
    ]
    documents += [{"_id": f"wrong{i}", "title": f"case{i}", "text": "", "note": "other"} for i in range(QUERIES)]
    command("setup", "articles", "--fields", "title,text")
    command("feed", "articles", command.write("corpus.jsonl", documents))
    return command


def tuned(command: Command, folder: Path, *, searches: int) -> str:
    log = log_of(command, searches=searches)
    return command("tune", "articles", "--clicks", log, "--save", str(folder), "--dry-run").stderr


def test_pairs_have_the_texts_of_the_index(articles: Command, tmp_path: Path) -> None:
    said = tuned(articles, tmp_path / "judged", searches=8)
    rows = [json.loads(line) for line in (tmp_path / "judged" / "pairs.jsonl").read_text().splitlines()]
    by_query = {row["query"]: row for row in rows}
    assert len(rows) == len(by_query) >= 50
    one = by_query["heart case7"]
    assert (one["query"], one["positive"], one["answers"]) == ("heart case7", "case7 cardiac", [])
    assert sorted(one["negatives"]) == ["case10", "case7", "case8", "case9"]
    assert one["source"] == "clicks"
    # The first one's document is not in the index.
    assert "heart case0" not in by_query
    assert f"{len(rows)} pairs for cherche train in {tmp_path / 'judged' / 'pairs.jsonl'}; 1 left out" in said


def test_too_few_clicks_make_judgements_and_no_pairs(articles: Command, tmp_path: Path) -> None:
    said = tuned(articles, tmp_path / "judged", searches=2)
    assert "no pairs.jsonl: clicks say for" in said
    assert sorted(path.name for path in (tmp_path / "judged").iterdir()) == ["qrels.tsv", "queries.jsonl"]
