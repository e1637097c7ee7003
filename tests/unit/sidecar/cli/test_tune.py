"""Settings fitted to judged queries: reported, written, or left as they were."""

from __future__ import annotations

import pytest

from tests.unit.sidecar.cli.conftest import Command

COUNT = 12


@pytest.fixture
def judged(command: Command) -> list[str]:
    """Words that mislead BM25 beside synonyms that only the weights know: a larger boost helps."""
    documents = [{"_id": f"right{i}", "text": f"cardiac case{i} of old patients"} for i in range(COUNT)]
    documents += [{"_id": f"wrong{i}", "text": f"case{i} case{i} case{i}"} for i in range(COUNT)]
    command("setup", "articles", "--fields", "text", "--prune", "top_k:50", "--sparse-boost", "0.25")
    command("feed", "articles", command.write("corpus.jsonl", documents))
    queries = command.write("queries.jsonl", [{"_id": str(i), "text": f"heart case{i}"} for i in range(COUNT)])
    qrels = command.folder / "qrels.tsv"
    qrels.write_text("".join(f"{i} 0 right{i} 1\n" for i in range(COUNT)))
    return ["articles", "--queries", queries, "--qrels", str(qrels)]


def test_a_dry_run_says_what_it_would_choose(command: Command, judged: list[str]) -> None:
    report = command.json("tune", *judged, "--dry-run")
    assert report["queries"] == COUNT
    assert report["before"] == {"sparse_boost": 0.25, "rerank_weight": 0.5, "rerank_window": 100}
    assert report["held_out"]["difference"] > 0
    assert not report["written"]
    assert report["judged_documents"] == {"judged": COUNT, "absent": 0, "examples": []}
    assert command.json("tune", *judged, "--dry-run")["before"] == report["before"]


def test_the_choice_is_written_and_searches_use_it(command: Command, judged: list[str]) -> None:
    report = command.json("tune", *judged)
    assert report["written"]
    evaluated = command.json("eval", *judged, "--modes", "hybrid+rerank")["modes"]["hybrid+rerank"]
    assert evaluated["ndcg@10"] > report["held_out"]["a"]
    again = command.json("tune", *judged)
    assert again["before"] == report["choice"]
    assert not again["written"]


def test_the_report_is_readable(command: Command, judged: list[str]) -> None:
    printed = command("tune", *judged).stdout
    assert "fold 5" in printed
    assert "held out" in printed
    assert "articles has the choice now" in printed


def test_too_few_queries_and_an_index_that_is_not_set_up(command: Command, judged: list[str]) -> None:
    assert "5 folds of 3 queries" in command("tune", *judged, "--limit", "3", code=1).stderr
    assert "cherche setup" in command("tune", "nowhere", *judged[1:], code=1).stderr
