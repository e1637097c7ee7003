"""Rows show what of a text answers, and whole words of it."""

from __future__ import annotations

from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.cli.snippet import around, good, passage_lines, snippet
from sidecar.values.passages import Passage, PassageAnswer
from sidecar.values.search import Hit, ScoreParts
from tests.unit.sidecar.cli.conftest import Command

FILLER = "filler " * 40


def hit(text: str, *passages: Passage, **fields: Any) -> Hit:
    return Hit("d1", 3, 1.0, ScoreParts(1.0, 0.0, 1.0, 1), {"text": text, **fields}, passages=passages)


def passage(text: str, within: str, *answers: tuple[str, str, float], element: int = 0) -> Passage:
    start = within.index(text)
    at = [(token, start + text.index(word), word, similarity) for token, word, similarity in answers]
    found = tuple(PassageAnswer(token, place, place + len(word), similarity) for token, place, word, similarity in at)
    return Passage("text", element, start, start + len(text), text, 1.0, found)


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("does aspirin prevent strokes", "the aspirin that prevents a stroke"),
        ("ASPIRIN", "the aspirin that prevents"),
        ("nothing of it", "A title filler filler"),
        ("filler", "A title filler filler"),
        ("", "A title filler filler"),
    ],
)
def test_a_row_shows_the_words_of_the_query_and_those_around_them(query: str, shown: str) -> None:
    line = snippet(hit(f"{FILLER}the aspirin that prevents a stroke {FILLER}", title="A title"), query)
    assert shown in line
    assert len(line) <= 74


def test_a_short_text_is_shown_whole() -> None:
    assert snippet(hit("one  two\nthree"), "three") == "one two three"


def test_a_row_shows_the_best_passage_around_its_answers() -> None:
    text = f"{FILLER}resting helps {FILLER}"
    best = passage(text.strip(), text, ("sleep", "resting", 0.9), ("the", "filler", 0.1))
    assert "resting helps" in snippet(hit("aspirin", best), "aspirin")


def test_lines_of_a_passage_say_where_it_is_and_what_it_answers() -> None:
    text = "Long ago. Slow-wave sleep strengthens what was learned."
    one = passage("sleep strengthens what", text, ("rest", "sleep", 0.8), ("##s", "thens", 0.7), ("a", "what", 0.1))
    first, second = passage_lines(hit(text, one))
    assert click.unstyle(first) == "3. d1, text 20–42: sleep strengthens what"
    assert click.style("strengthens", bold=True) in first
    assert second == "   rest → sleep 0.80, ##s → strengthens 0.70"
    [other, _] = passage_lines(hit(text, passage("sleep", text, ("rest", "sleep", 0.8), element=2)))
    assert "text[2] 20–25" in other


def test_good_answers_are_no_worse_than_their_mean() -> None:
    answers = [PassageAnswer("a", 0, 1, 0.9), PassageAnswer("b", 0, 1, 0.5), PassageAnswer("c", 0, 1, 0.1)]
    assert [one.query_token for one in good(answers)] == ["a", "b"]
    assert good([]) == []


@given(st.text(st.sampled_from("ab \n\te\u0301知🙂"), max_size=200), st.data())
def test_an_excerpt_is_a_part_of_the_text(text: str, data: st.DataObject) -> None:
    place = st.integers(0, len(text))
    spans = [tuple(sorted((data.draw(place), data.draw(place)))) for _ in range(data.draw(st.integers(0, 3)))]
    line = around(text, spans, 20)
    assert len(line) <= 22
    assert line.strip("…") in " ".join(text.split())


def test_a_search_prints_its_passages_and_has_them_as_json(articles: Command) -> None:
    printed = articles("search", "articles", "prevents stroke", "--passages", "1").stdout
    assert "1. 1, text 0–23: aspirin prevents stroke" in printed
    assert "prevents → prevents 1.00" in printed
    [hit] = articles.json("search", "articles", "prevents stroke", "--passages", "2")["hits"]
    [one, other] = hit["passages"]
    assert (one["field"], one["element"], one["start"], one["end"]) == ("text", 0, 0, 23)
    assert hit["source"]["text"][one["start"] : one["end"]] == one["text"]
    assert other["field"] == "title"
    assert "0<=x<=10" in articles("search", "articles", "x", "--passages", "11", code=2).stderr
