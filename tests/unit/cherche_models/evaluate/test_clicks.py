"""Judgements from clicks: right whatever the ranks at which documents were shown."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from cherche_models.evaluate.clicks import Shown, gains, preferences, rates, read_clicks


def users(seed: int, searches: int = 4000) -> list[Shown]:
    """Position-based users: each looks at rank k with probability 1/k, and clicks what is relevant nine times of ten.

    Query ``q0`` has its relevant document on the last rank of ten, ``q1`` on the first, ``q2`` has none.
    """
    rng = random.Random(seed)
    log = []
    for _ in range(searches):
        query = rng.choice(("q0", "q1", "q2"))
        shown = tuple(f"{query}-{rank}" for rank in range(10))
        relevant = {"q0": "q0-9", "q1": "q1-0", "q2": ""}[query]
        looked = [id for rank, id in enumerate(shown, 1) if rng.random() < 1 / rank]
        log.append(
            Shown(query, shown, frozenset(id for id in looked if rng.random() < (0.9 if id == relevant else 0.1)))
        )
    return log


@pytest.mark.parametrize("seed", range(5))
def test_the_relevant_document_wins_on_any_rank(seed: int) -> None:
    log = users(seed)
    _, judgements = gains(log)
    assert max(judgements["q0"], key=judgements["q0"].__getitem__) == "q0-9"
    assert max(judgements["q1"], key=judgements["q1"].__getitem__) == "q1-0"
    assert max(judgements.get("q2", {"": 0.0}).values()) < judgements["q0"]["q0-9"] / 2
    # Counted alone, clicks prefer the first document of the query whose relevant one is the last.
    counts = {id: sum(id in search.clicked for search in log) for id in ("q0-0", "q0-9")}
    assert counts["q0-0"] > counts["q0-9"]


def test_what_was_never_shown_or_never_clicked_has_no_gain() -> None:
    log = [Shown("a", ("1", "2"), frozenset("2")), Shown("b", ("1", "2"), frozenset())]
    assert rates(log) == [0.0, 0.5]
    assert gains(log) == ({"a": "a"}, {"a": {"2": pytest.approx((1 - 0.5) / (0.5 + 1))}})


def test_queries_of_other_case_and_spaces_are_one() -> None:
    log = [Shown("Red  fox", ("1", "2"), frozenset("1")), Shown("red fox ", ("2", "1"), frozenset("1"))]
    assert gains(log)[0] == {"red fox": "Red  fox"}


def written(folder: Path, *lines: object) -> Path:
    path = folder / "log.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return path


def test_records_of_ubi_are_joined(tmp_path: Path) -> None:
    event = {"query_id": "1", "event_attributes": {"object": {"object_id": "b"}}}
    log = written(
        tmp_path,
        {**event, "action_name": "click"},
        {"query_id": "1", "user_query": "red fox", "query_response_hit_ids": ["a", "b"]},
        {**event, "action_name": "hover"},
        {"query_id": "gone", "action_name": "click", "event_attributes": {"object": {"object_id": 7}}},
        {"query_id": "2", "user_query": "owl", "query_response_hit_ids": []},
        {"query": "red fox", "shown": ["a", 2], "clicked": [2]},
    )
    assert read_clicks(log) == [
        Shown("red fox", ("a", "2"), frozenset("2")),
        Shown("red fox", ("a", "b"), frozenset("b")),
        Shown("owl", (), frozenset()),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"query": "a", "shown": ["1"], "clicked": ["2"]}, "log.jsonl:2: '2' was clicked and not shown"),
        ({"query": "a", "shown": "1", "clicked": []}, "log.jsonl:2: neither a search"),
        ({"query_id": "1", "action_name": "click"}, "log.jsonl:2: a click without"),
        (["a"], "log.jsonl:2: neither"),
    ],
)
def test_a_line_that_is_neither_is_named(tmp_path: Path, line: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_clicks(written(tmp_path, {"query": "a", "shown": [], "clicked": []}, line))


def test_what_is_not_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("{\n")
    with pytest.raises(ValueError, match=r"log.jsonl:1: not JSON"):
        read_clicks(path)


def many_users(seed: int, *, queries: int, searches: int) -> list[Shown]:
    """Users as `users`; each query has its relevant document on a rank of its own."""
    rng = random.Random(seed)
    log = []
    for number in range(queries):
        shown = tuple(f"{number}-{rank}" for rank in range(10))
        for _ in range(searches):
            looked = [id for rank, id in enumerate(shown, 1) if rng.random() < 1 / rank]
            clicked = frozenset(id for id in looked if rng.random() < (0.9 if id == shown[number % 10] else 0.1))
            log.append(Shown(f"query {number}", shown, clicked))
    return log


def relevant(query: str) -> str:
    number = int(query.split()[1])
    return f"{number}-{number % 10}"


@pytest.mark.parametrize("seed", range(3))
def test_pairs_are_of_what_is_relevant_and_not_of_what_is_first(seed: int) -> None:
    log = many_users(seed, queries=200, searches=40)
    found = preferences(log)
    right = sum(one.positive == relevant(one.query) for one in found) / len(found)
    assert len({one.query for one in found}) >= 130
    assert right > 0.95
    # The document that is clicked most is another for many more.
    clicks = {f"query {number}": Counter[str]() for number in range(200)}
    for search in log:
        clicks[search.query].update(search.clicked)
    assert sum(count.most_common(1)[0][0] == relevant(query) for query, count in clicks.items()) / 200 < right - 0.2
    for one in found:
        assert one.positive not in (*one.negatives, *one.answers)
    assert sum(relevant(one.query) in one.negatives for one in found) / len(found) < 0.02


def test_pairs_need_evidence() -> None:
    log = many_users(0, queries=20, searches=40)
    with pytest.raises(ValueError, match="which document is better than which, and 50 are needed"):
        preferences(log)
    # One click on the first rank, which is what anybody does, chooses nothing.
    once = [Shown(f"query {n}", ("a", "b"), frozenset("a")) for n in range(100)]
    with pytest.raises(ValueError, match="clicks say for 0 queries"):
        preferences(once)
