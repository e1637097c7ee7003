from __future__ import annotations

import sqlite3

from hypothesis import given
from hypothesis import strategies as st

from sidecar.engines.embedded import lexical
from sidecar.engines.embedded.lexical import LexicalQuery

FIELDS = ("title", "text")
QUERY = LexicalQuery((), dict.fromkeys(FIELDS, 1.0))


def filled(*texts):
    db = sqlite3.connect(":memory:")
    db.execute(lexical.create_sql(1, len(FIELDS)))
    for row, text in enumerate(texts):
        lexical.insert(db, 1, row, ["", text])
    return db


def found(db, text):
    sql = lexical.word_sql(1, FIELDS, QUERY)
    words = lexical.words(text)
    return [{row for row, _ in db.execute(sql, (lexical.word_expression(w, FIELDS, QUERY),))} for w in words]


@given(st.text())
def test_no_text_is_syntax(text):
    found(filled("sun"), text)


@given(st.lists(st.text(st.characters(codec="ascii")), min_size=1, max_size=4))
def test_a_document_is_found_by_each_of_its_words(texts):
    db = filled(*texts)
    for row, text in enumerate(texts):
        assert all(row in rows for rows in found(db, text))


@given(st.text(), st.text())
def test_what_was_deleted_is_gone(before, after):
    db = filled(before)
    lexical.delete(db, 1, 0, ["", before])
    lexical.insert(db, 1, 0, ["", after])
    db.execute("INSERT INTO text_1 (text_1) VALUES ('integrity-check')")
    held = set(lexical.words(after.lower()))
    for word, rows in zip(lexical.words(before), found(db, before), strict=True):
        assert word.lower() in held or rows == set() or rows == {0} & set().union(*found(db, after))


def test_accents_and_case_do_not_matter():
    db = filled("Cafe\u0301 ÉCOLE naïve")
    assert found(db, "café Ecole NAIVE") == [{0}, {0}, {0}]


def test_words_are_stemmed():
    assert found(filled("running engines"), "run engine") == [{0}, {0}]


def test_fields_without_text():
    assert lexical.texts({"title": 3, "text": ["a", None, "b"]}, FIELDS) == ["", "a b"]
    assert lexical.texts({"text": {"a": "b"}}, FIELDS) == ["", ""]
