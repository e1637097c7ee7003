"""Logs of shadow mode: read line by line, joined with judgements by key, and summed up."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cherche_models.evaluate.clicks import LEAST_QUERIES
from cherche_models.evaluate.shadow import Shadowed, query_key, read_shadow, report

VECTORS = json.loads((Path(__file__).parents[3] / "contract" / "shadow.json").read_text(encoding="utf-8"))["vectors"]
HEAD = "[2026-11-30T06:00:00,000][INFO ][o.c.o.Shadow             ] [node-1] "


def line(**given: Any) -> str:
    record = {
        "index": "articles",
        "query": query_key("red fox"),
        "shown": ["a", "b"],
        "hybrid": ["b", "c"],
        "overlap": 0.5,
        "shown_ms": 3,
        "hybrid_ms": 9,
        "rerank_status": "APPLIED",
    }
    return f"{HEAD}shadow {json.dumps(record | given)}"


def search(text: str, shown: str, hybrid: str, **given: Any) -> Shadowed:
    return Shadowed("articles", query_key(text), tuple(shown), tuple(hybrid), **{**LATENCY, **given})


LATENCY: dict[str, Any] = {"shown_ms": 3.0, "hybrid_ms": 9.0, "rerank_status": "APPLIED"}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: ascii(vector["text"]))
def test_a_query_is_named_as_the_plugin_names_it(vector: dict[str, str]) -> None:
    assert query_key(vector["text"]) == vector["key"]


def test_lines_of_a_nodes_log_are_found_among_others_plain_or_json(tmp_path: Path) -> None:
    log = tmp_path / "cluster.log"
    as_json = json.dumps({"type": "server", "message": line().removeprefix(HEAD)})
    log.write_text(f"{HEAD}started\n{line()}\n{as_json}\n{line(index='others')}\n", encoding="utf-8")
    one = Shadowed("articles", query_key("red fox"), ("a", "b"), ("b", "c"), 3.0, 9.0, "APPLIED")
    assert read_shadow(log, "articles") == [one, one]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{HEAD}started", "cluster.log has no line of shadow mode"),
        (line(index="others"), "has no search of 'articles', but of others"),
        (f"{HEAD}started\n{HEAD}shadow {{'index'}}", "cluster.log:2: a line of shadow mode that cannot be read"),
        (f"{HEAD}shadow {{}}", "cluster.log:1: a line of shadow mode that cannot be read"),
    ],
)
def test_a_log_without_the_index_and_a_line_that_is_none_are_named(tmp_path: Path, text: str, said: str) -> None:
    log = tmp_path / "cluster.log"
    log.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(said)):
        read_shadow(log, "articles")


def test_overlap_order_and_latency_need_no_judgement() -> None:
    log = [search("a", "12", "12"), search("b", "12", "23", hybrid_ms=19.0), search("c", "", "", rerank_status="")]
    found = report(log, {}, shown_is_judged=True)
    assert (found.searches, found.overlap, found.same_order) == (3, pytest.approx((1 + 0.5 + 1) / 3, abs=1e-4), 0.6667)
    assert (found.shown_ms["p50"], found.hybrid_ms["p50"], found.hybrid_ms["p95"]) == (3.0, 9.0, 18.0)
    assert found.rerank_statuses == {"APPLIED": 2, "": 1}
    assert (found.judged_queries, found.judged, found.win_rate) == (0, None, None)


def test_wins_are_of_judged_queries_each_counted_once() -> None:
    texts = [f"query {number}" for number in range(LEAST_QUERIES + 2)]
    gains = {text: {"r": 1.0} for text in texts[:-1]}  # nobody judged the last one
    better, worse = [search(text, "xr", "rx") for text in texts[1:]], [search(texts[0], "rx", "xr")]
    found = report([*better, *better, *worse], gains, shown_is_judged=True)
    assert found.judged is not None
    assert found.judged_queries == LEAST_QUERIES + 1
    assert (found.judged.wins, found.judged.losses, found.judged.ties) == (LEAST_QUERIES, 1, 0)
    assert found.win_rate == pytest.approx(LEAST_QUERIES / (LEAST_QUERIES + 1))
    assert found.judged.p_value < 0.001


def test_a_few_judged_queries_are_no_evidence() -> None:
    texts = [f"query {number}" for number in range(LEAST_QUERIES - 1)]
    found = report([search(t, "xr", "rx") for t in texts], {t: {"r": 1.0} for t in texts}, shown_is_judged=True)
    assert (found.judged_queries, found.judged) == (LEAST_QUERIES - 1, None)


@pytest.mark.parametrize(("shown_is_judged", "ties"), [(True, LEAST_QUERIES), (False, LEAST_QUERIES)])
def test_what_nobody_judged_takes_no_rank(shown_is_judged: bool, ties: int) -> None:
    """ "n" is new on the hybrid page; without it both pages have "r" first."""
    texts = [f"query {number}" for number in range(LEAST_QUERIES)]
    found = report(
        [search(t, "rx", "nr") for t in texts], {t: {"r": 1.0} for t in texts}, shown_is_judged=shown_is_judged
    )
    assert found.judged is not None
    assert found.judged.ties == ties


def test_a_page_that_lost_what_people_click_is_worse() -> None:
    texts = [f"query {number}" for number in range(LEAST_QUERIES)]
    found = report([search(t, "rx", "nx") for t in texts], {t: {"r": 1.0} for t in texts}, shown_is_judged=True)
    assert found.judged is not None
    assert found.judged.losses == LEAST_QUERIES
    assert found.win_rate == 0
