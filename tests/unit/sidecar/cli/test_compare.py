"""Two systems on the same queries: run files, and ways to search."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sidecar.cli import cherche
from tests.unit.sidecar.cli.conftest import Command, judged, judged_beyond


def written(folder: Path) -> list[str]:
    (folder / "a.run").write_text("q1 Q0 1 1 2 a\nq1 Q0 2 2 1 a\nq2 Q0 9 1 2 a\nq2 Q0 3 2 1 a\nq3 Q0 8 1 1 a\n")
    (folder / "b.run").write_text("q1 Q0 2 1 2 b\nq1 Q0 1 2 1 b\nq2 Q0 3 1 2 b\n")
    (folder / "qrels.tsv").write_text("q1 0 1 1\nq2 0 3 1\nq3 0 8 1\n")
    return [str(folder / "a.run"), str(folder / "b.run"), "--qrels", str(folder / "qrels.tsv")]


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(cherche, ["compare", *arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.stderr


def test_two_runs_need_no_server(tmp_path: Path) -> None:
    report = json.loads(run(*written(tmp_path), "--measures", "mrr,hits@1", "--json"))
    mrr = report["measures"]["mrr"]
    assert (mrr["a"], mrr["b"]) == pytest.approx(((1 + 0.5 + 1) / 3, (0.5 + 1 + 0) / 3))
    assert (mrr["wins"], mrr["losses"], mrr["ties"]) == (1, 2, 0)
    assert mrr["p_value"] == 1.0 or 0 < mrr["p_value"] < 1
    assert [(query["query"], query["a"], query["b"]) for query in report["losses"]] == [("q3", 1, 0), ("q1", 1, 0.5)]
    assert [query["query"] for query in report["wins"]] == ["q2"]
    assert report["unanswered"] == [0, 1]
    assert report["judged_documents"] == {}


def test_the_report_is_readable(tmp_path: Path) -> None:
    printed = run(*written(tmp_path), "--worst", "1")
    assert "B loses most, by ndcg@10" in printed
    assert "ndcg@10" in printed
    assert "-0.3333" in printed  # hits@1: 2/3 against 1/3


def test_ways_to_search_are_compared(articles: Command) -> None:
    report = articles.json("compare", "articles/bm25", "articles/sparse+rerank?rerank_weight=0.2", *judged(articles))
    assert {"wins": 1, "losses": 0, "ties": 1}.items() <= report["measures"]["hits@1"].items()
    assert [query["text"] for query in report["wins"]] == ["heart"]


def test_judged_documents_that_an_index_does_not_hold_are_counted_once(articles: Command) -> None:
    asked = ["compare", "articles/bm25", "articles/sparse", *judged_beyond(articles)]
    assert articles.json(*asked)["judged_documents"]["articles"]["absent"] == 4
    assert articles(*asked).stderr.count("4 of 6 judged documents are not in articles") == 1


def test_a_run_that_eval_wrote_equals_its_mode(articles: Command) -> None:
    folder = articles.folder / "runs"
    articles("eval", "articles", *judged(articles), "--modes", "hybrid", "--run", str(folder))
    report = articles.json("compare", str(folder / "hybrid.run"), "articles/hybrid", *judged(articles))
    assert report["wins"] == report["losses"] == []


@pytest.mark.parametrize(
    ("system", "reason"),
    [
        ("absent.run", "neither a run file nor"),
        ("articles/bm26", "bm26"),
        ("articles/bm25?colour=red", "'colour'"),
        ("articles/bm25:pruned", "bm25 has no terms"),
        ("articles/hybrid?rerank_window=5", "rerank_window is of rerank, which is not given"),
        ("articles/hybrid?query_terms=5", "query_terms is of query_mode pruned, which is full"),
        ("articles/bm25+rerank?sparse_boost=2", "sparse_boost is of mode sparse or hybrid, which is bm25"),
        ("articles/hybrid?rank_constant=5", "rank_constant is of fusion rrf, which is sum"),
        ("articles/bm25?rerank_weight=high", "rerank_weight: 'high' is not a valid float"),
        ("articles/bm25?rerank_weight=2", "rerank_weight: 2.0 is not in the range 0<=x<=1"),
        ("articles/bm25?match_set=any", "match_set: 'any' is not one of 'auto', 'lexical', 'union'"),
        ("articles/bm25", "--queries"),
    ],
)
def test_what_cannot_be_read_is_a_usage_error(system: str, reason: str, tmp_path: Path) -> None:
    a, *rest = written(tmp_path)
    assert reason in " ".join(run(a, system, *rest[1:], code=2).split())


def test_a_damaged_run_and_an_unknown_measure(tmp_path: Path) -> None:
    a, b, *qrels = written(tmp_path)
    assert "unknown measure 'bleu'" in run(a, b, *qrels, "--measures", "bleu", code=1)
    Path(b).write_text("q1 Q0 1\n")
    assert "b.run:1: expected query, Q0" in run(a, b, *qrels, code=1)
