from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest

from cherche_models import passages
from cherche_models.passages import Place, word_spans
from cherche_models.types import TokenEmbeddings

WORDS = ("heart", "rate", "wing", "filler")


def rows(*words: str) -> TokenEmbeddings:
    """One dimension for each word; what is not among them is like nothing."""
    vectors = np.zeros((len(words), len(WORDS)), np.float32)
    for row, word in enumerate(words):
        if word in WORDS[:3]:
            vectors[row, WORDS.index(word)] = 1.0
    return TokenEmbeddings(vectors)


def best(text: str, *query: str, **options: int) -> list[passages.Passage]:
    places = [match.span() for match in re.finditer(r"\w+", text)]
    document = rows(*(text[slice(*place)] for place in places))
    return passages.best(rows(*query), document, places, text, **options)


def test_the_window_that_answers_more_of_the_query_is_first() -> None:
    text = "the heart of it. " + "filler " * 20 + "the heart rate, measured. " + "filler " * 20 + "rate"
    one, other, third = best(text, "heart", "rate", count=3, size=6)
    assert (one.score, other.score, third.score) == (2.0, 1.0, 1.0)
    assert "heart rate, measured." in text[one.start : one.end]
    assert "heart of it." in text[other.start : other.end]
    assert text[third.start : third.end].endswith("rate")
    assert [text[answer.start : answer.end] for answer in one.answers] == ["heart", "rate"]


def test_what_answers_has_words_on_both_sides() -> None:
    text = "filler " * 30 + "wing " + "filler " * 30
    [found] = best(text, "wing", size=11)
    before, _, after = text[found.start : found.end].partition("wing")
    assert abs(len(before.split()) - len(after.split())) <= 1


def test_a_short_text_is_one_passage() -> None:
    [found] = best("  a wing \n", "wing", count=3)
    assert (found.start, found.end) == (2, 8)


def test_a_token_of_two_words_keeps_them_together() -> None:
    document = TokenEmbeddings(np.eye(2, dtype=np.float32))
    [found] = passages.best(document, document, [(0, 8), (9, 14)], "New York state", size=1)
    assert (found.start, found.end) in {(0, 8), (9, 14)}
    assert passages.best(document, document, [(0, 8), (4, 8)], "New York state", count=2, size=1)[0].end == 8


def test_nothing_to_show() -> None:
    one = rows("wing")
    assert passages.best(one, one, [None], "wing") == []
    assert passages.best(rows(), one, [(0, 4)], "wing") == []
    assert passages.best(one, rows(), [], "") == []
    assert passages.best(one, one, [(0, 4)], "wing", count=0) == []


def test_rows_and_places_belong_together() -> None:
    with pytest.raises(ValueError, match="1 token embeddings have 2 places"):
        passages.best(rows("wing"), rows("wing"), [None, None], "wing")
    with pytest.raises(ValueError, match="encode both with the same model"):
        passages.best(rows("wing"), TokenEmbeddings(np.ones((1, 2), np.float32)), [(0, 4)], "wing")


def test_a_blob_is_cut_between_characters_as_people_see_them() -> None:
    text = "e\u0301" * 100
    spans = list(word_spans(text))
    assert [end - start for start, end in spans] == [60, 60, 60, 20]


def test_words_are_cut_no_further_than_the_last_token() -> None:
    read: list[Place] = []

    def counted(text: str) -> Iterator[Place]:
        for span in word_spans(text):
            read.append(span)
            yield span

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passages, "word_spans", counted)
        [found] = passages.best(rows("wing"), rows("wing", "rate"), [(0, 1), (2, 3)], "a b " * 10_000, size=1)
    assert (found.start, found.end) == (0, 1)
    assert len(read) < 5
