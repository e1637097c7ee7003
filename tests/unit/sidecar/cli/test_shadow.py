"""The report of tune with a node's log beside it."""

from __future__ import annotations

import json

import pytest

from cherche_models.evaluate.shadow import query_key
from tests.unit.sidecar.cli.conftest import Command, judged

COUNT = 60


def log_of(command: Command, texts: list[str], index: str = "articles") -> str:
    """Pages with the relevant document second, and first in the hybrid one."""
    records = [
        {
            "index": index,
            "query": query_key(text),
            "shown": ["wrong", f"right{number}"],
            "hybrid": [f"right{number}", "new"],
            "shown_ms": 4,
            "hybrid_ms": 20 + number % 2,
            "rerank_status": "APPLIED",
        }
        for number, text in enumerate(texts)
    ]
    return command.write("node.log", [f"[INFO ][o.c.o.Shadow] shadow {json.dumps(one)}".encode() for one in records])


@pytest.fixture
def many(command: Command) -> tuple[Command, list[str], list[str]]:
    """The command, texts of queries, and options that judge them."""
    texts = [f"aspirin case{number}" for number in range(COUNT)]
    command("setup", "articles", "--fields", "text")
    documents = [{"_id": f"right{i}", "text": text} for i, text in enumerate(texts)]
    command("feed", "articles", command.write("corpus.jsonl", documents))
    queries = command.write("queries.jsonl", [{"_id": str(i), "text": text} for i, text in enumerate(texts)])
    qrels = command.folder / "qrels.tsv"
    qrels.write_text("".join(f"{i} 0 right{i} 1\n{i} 0 wrong 0\n" for i in range(COUNT)))
    return command, texts, ["--queries", queries, "--qrels", str(qrels)]


def test_the_report_has_overlap_latency_and_the_win_rate(many: tuple[Command, list[str], list[str]]) -> None:
    command, texts, options = many
    given = ["articles", *options, "--dry-run", "--shadow", log_of(command, texts)]
    found = command.json("tune", *given)["shadow"]
    assert (found["searches"], found["overlap"], found["same_order"]) == (COUNT, 0.5, 0.0)
    assert (found["shown_ms"]["p50"], found["hybrid_ms"]["p50"]) == (4.0, 20.5)
    assert (found["judged_queries"], found["win_rate"]) == (COUNT, 1.0)
    assert found["judged"]["wins"] == COUNT
    printed = command("tune", *given).stdout
    assert f"of {COUNT} judged queries the hybrid page wins 100%: {COUNT} better, 0 worse, 0 equal" in printed
    assert "common hits 50%, same page 0%; rerank: 60 APPLIED" in printed


def test_a_few_judged_queries_give_no_win_rate(many: tuple[Command, list[str], list[str]]) -> None:
    command, texts, options = many
    given = ["articles", *options, "--dry-run", "--shadow", log_of(command, [*texts[:40], *["unjudged"] * 9])]
    assert "no win rate: 40 of its queries are judged, and 50 are needed" in command("tune", *given).stdout


def test_a_log_of_another_index_is_refused_with_what_to_do(articles: Command) -> None:
    log = log_of(articles, ["aspirin"], index="others")
    failed = articles("tune", "articles", *judged(articles), "--folds", "2", "--shadow", log, code=1)
    assert "has no search of 'articles', but of others" in failed.stderr
    assert '"mode": "shadow"' in failed.stderr
