from __future__ import annotations

import sqlite3
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cherche_models.lexical import FullText, lengths, stems, words

texts = st.text() | st.text(st.characters(codec="ascii")) | st.text(st.sampled_from("ab.' "))


def filled(*rows: tuple[str, str]) -> FullText:
    table = FullText(sqlite3.connect(":memory:"), "texts", 2)
    table.create()
    for row, pair in enumerate(rows):
        table.insert(row, pair)
    return table


def stored_lengths(table: FullText) -> list[list[int]]:
    stored = table.connection.execute(f"SELECT sz FROM {table.lengths_table} ORDER BY id")
    return lengths((sz for (sz,) in stored), table.fields).tolist()


def held(table: FullText, stem: str) -> list[dict[int, int]]:
    return [dict(zip(rows.tolist(), counts.tolist(), strict=True)) for rows, counts in table.postings(stem)]


@given(st.lists(st.tuples(texts, texts), max_size=4))
def test_postings_and_lengths_are_those_of_the_texts(rows: list[tuple[str, str]]) -> None:
    table = filled(*rows)
    held_stems = [[Counter(stems(words(text))) for text in pair] for pair in rows]
    for stem in {stem for pair in held_stems for counts in pair for stem in counts}:
        assert held(table, stem) == [
            {row: pair[field][stem] for row, pair in enumerate(held_stems) if stem in pair[field]} for field in range(2)
        ]
    assert stored_lengths(table) == [[len(words(pair[field])) for pair in rows] for field in range(2)]


@given(texts, texts)
def test_what_was_deleted_is_gone(before: str, after: str) -> None:
    table, fresh = filled((before, before)), filled(("", after))
    table.delete(0, (before, before))
    table.insert(0, ("", after))
    table.connection.execute("INSERT INTO texts (texts) VALUES ('integrity-check')")
    for stem in stems(words(f"{before} {after}")):
        assert held(table, stem) == held(fresh, stem)
    assert stored_lengths(table) == stored_lengths(fresh)


@given(st.lists(texts, max_size=5))
def test_there_is_one_stem_for_each_word_in_their_order(parts: list[str]) -> None:
    whole = [word for part in parts for word in words(part)]
    assert stems(whole) == [stem for word in whole for stem in stems([word])]
    assert len(stems(whole)) == len(whole)


def test_words_are_stemmed_by_porters_rules() -> None:
    # Golden: the `english` analyzer of OpenSearch 3.8.0.
    assert stems("dimensional running this studies economy u.s.a".split()) == [  # noqa: SIM905
        *("dimension", "run", "thi", "studi", "economi", "u.s.a")
    ]


def test_a_word_that_no_document_has() -> None:
    assert [rows.size for rows, _ in filled(("a sun", "")).postings("moon")] == [0, 0]


def test_lengths_of_more_than_one_byte() -> None:
    assert lengths([b"\x01\x82\x2c", b"\x00\x81\x80\x00"], 2).tolist() == [[1, 0], [300, 16384]]
    assert np.shape(lengths([], 2)) == (2, 0)
