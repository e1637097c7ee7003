from __future__ import annotations

import sqlite3

import bm25s
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cherche_models.lexical import FullText, Scorer, lengths, scorer

WORDS = ("sun", "moon", "star", "comet", "orbit")
some_words = st.lists(st.sampled_from(WORDS), max_size=12)


def index(*fields_of: tuple[str, ...]) -> tuple[FullText, Scorer]:
    table = FullText(sqlite3.connect(":memory:"), "texts", len(fields_of[0]))
    table.create()
    for row, fields in enumerate(fields_of):
        table.insert(3 * row, fields)
    stored = table.connection.execute("SELECT sz FROM texts_docsize ORDER BY id")
    return table, Scorer.of(3 * np.arange(len(fields_of)), lengths((sz for (sz,) in stored), table.fields))


@given(st.lists(some_words.filter(len), min_size=2, max_size=8), some_words.filter(len))
def test_scores_of_one_field_are_those_of_bm25s(documents: list[list[str]], query: list[str]) -> None:
    table, ours = index(*((" ".join(document),) for document in documents))
    scores, matched = ours.search(table, query, [1.0])
    theirs = bm25s.BM25(k1=1.2, b=0.75, method="lucene")
    theirs.index(documents, show_progress=False)
    known = [word for word in query if any(word in document for document in documents)]
    expected = theirs.get_scores(known) if known else np.zeros(len(documents))
    assert scores == pytest.approx(expected, rel=1e-5)
    assert matched.tolist() == [bool(set(query) & set(document)) for document in documents]


@given(st.lists(st.tuples(some_words, some_words), min_size=1, max_size=6), some_words)
def test_a_document_with_all_words_has_them_in_any_searched_field(
    documents: list[tuple[list[str], list[str]]], query: list[str]
) -> None:
    table, ours = index(*((" ".join(a), " ".join(b)) for a, b in documents))
    for boosts in ([1.0, 2.0], [0.0, 1.0]):
        _, matched = ours.search(table, query, boosts, all_words=True)
        fields = [set(b) | (set(a) if boosts[0] else set()) for a, b in documents]
        assert matched.tolist() == [bool(query) and set(query) <= held for held in fields]


def test_a_word_is_read_once_and_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    table, ours = index(("sun moon",), ("sun",))
    first = ours.search(table, ["sun", "moon"], [1.0])[0].tolist()
    table.connection.execute("DELETE FROM texts_data WHERE id > 10")
    assert ours.search(table, ["sun", "moon"], [1.0])[0].tolist() == first
    monkeypatch.setattr(scorer, "MAX_CACHE_BYTES", 40)
    table, ours = index(("sun moon star",), ("sun",))
    for word in ("sun", "moon", "star"):
        ours.search(table, [word], [1.0])
        assert ours._cache_bytes <= 40
