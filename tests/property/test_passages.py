"""Passages of any text: slices of it at words, the best there are by a search of all windows."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cherche_models import passages
from cherche_models.passages import Passage, word_spans
from cherche_models.types import TokenEmbeddings
from tests.property.strategies import unit

# Astral, combining, joined, right to left, without spaces, markup, controls; white space of several kinds.
ALPHABET = "ab é\u0301\u0300\t\n\u00a0\u200b\u200d\u00ad🙂👩🏽‍🚀𝕏知の不กำ שלום\u202bسلام<b>&amp;</b>.,'-_\x00"
texts = st.text(st.sampled_from(ALPHABET), max_size=80)
DIM = 6


@st.composite
def read_texts(draw):
    """A text, places of some of its tokens, their embeddings and those of a query."""
    text = draw(texts)
    cut = [match.span() for match in re.finditer(r"\w{1,3}|[^\w\s]", text)]
    places = [place if draw(st.booleans()) else None for place in cut]
    places += [place for place in cut[:4] if draw(st.booleans())]  # as of a chunk that overlaps
    query, document = unit(draw(st.integers(0, 99)), 5, DIM), unit(draw(st.integers(100, 199)), len(places), DIM)
    return text, places, TokenEmbeddings(query), TokenEmbeddings(document)


def found_in(read, count: int, size: int) -> list[Passage]:
    text, places, query, document = read
    return passages.best(query, document, places, text, count=count, size=size)


def similarities_within(read, start: int, end: int):
    _, places, query, document = read
    inside = [i for i, place in enumerate(places) if place is not None and start <= place[0] and place[1] <= end]
    return query.vectors @ document.vectors[inside].T, {places[i] for i in inside}


@given(read_texts(), st.integers(1, 4), st.integers(1, 12))
def test_passages_are_slices_at_words_that_do_not_overlap(read, count, size):
    text, places, *_ = read
    found = found_in(read, count, size)
    assert len(found) <= count
    assert bool(found) == any(place is not None for place in places)
    words = list(word_spans(text))
    starts, ends = {start for start, _ in words}, {end for _, end in words}
    for one in found:
        assert one.start in starts
        assert one.end in ends
        assert text[one.start : one.end] == text[one.start : one.end].strip()
    for one, other in pairwise(sorted(found, key=lambda one: one.start)):
        assert one.end <= other.start
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


@given(read_texts(), st.integers(1, 3), st.integers(1, 12))
def test_each_query_token_is_answered_by_the_best_token_of_the_passage(read, count, size):
    _, _, query, _ = read
    for one in found_in(read, count, size):
        within, places = similarities_within(read, one.start, one.end)
        assert [answer.query for answer in one.answers] == list(range(len(query)))
        assert np.allclose([answer.similarity for answer in one.answers], within.max(axis=1), atol=1e-6)
        assert one.score == sum(answer.similarity for answer in one.answers)
        assert all((answer.start, answer.end) in places for answer in one.answers)


@given(read_texts(), st.integers(1, 12))
def test_no_window_of_as_many_tokens_is_better(read, size):
    text, places, *_ = read
    scores = []
    spans = list(word_spans(text))
    for i, (start, _) in enumerate(spans):
        if not any(place is not None and spans[i][0] <= place[0] < spans[i][1] for place in places):
            continue
        for _, end in spans[i:]:
            within, held = similarities_within(read, start, end)
            if len(held) >= size or end == spans[-1][1]:
                scores.append(float(within.max(axis=1).sum()) if held else -np.inf)
                break
    found = found_in(read, 1, size)
    assert (found[0].score if found else -np.inf) >= max(scores, default=-np.inf) - 1e-5


@given(read_texts(), st.integers(1, 12), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(read, size, random):
    text, places, query, document = read
    rows = list(range(len(places)))
    random.shuffle(rows)
    shuffled = text, [places[row] for row in rows], query, TokenEmbeddings(document.vectors[rows])
    assert [(one.start, one.end) for one in found_in(read, 2, size)] == [
        (one.start, one.end) for one in found_in(shuffled, 2, size)
    ]


@given(texts)
def test_words_hold_all_that_is_no_white_space(text):
    spans = list(word_spans(text))
    assert "".join(text[slice(*span)] for span in spans) == "".join(text.split())
    assert all(one[1] <= other[0] for one, other in pairwise(spans))
