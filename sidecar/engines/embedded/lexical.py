"""BM25 by SQLite's FTS5: words of a text, match expressions and full-text tables.

FTS5's ``bm25()`` fixes k1 = 1.2 and b = 0.75; a column's weight multiplies its term frequencies. Each index has a
contentless table with the row numbers of the table of documents, as the text is in the source already.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sidecar.engines.embedded.postings import Mirror
from sidecar.values.documents import Json, value_at

MAX_WORDS = 1024

# A word of the tokenizer unicode61: letters, digits, and the combining accents that it removes.
_WORD = re.compile(r"(?:[^\W_]|[\u0300-\u0331])+")


@dataclass(frozen=True, slots=True)
class LexicalQuery:
    """The words of a query, the searched fields with their boosts, and whether all words must match."""

    words: tuple[str, ...]
    boosts: Mapping[str, float]
    all_words: bool = False


def words(text: str) -> tuple[str, ...]:
    """Split a text as FTS5 does, into at most `MAX_WORDS` words.

    >>> words("what's AND (this)?")
    ('what', 's', 'AND', 'this')
    """
    return tuple(_WORD.findall(text)[:MAX_WORDS])


def field_text(value: object) -> str:
    """Text of one field: a string, or the strings of a list joined by one space, else "".

    >>> field_text(["a", 3, "b"])
    'a b'
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence):
        return " ".join(item for item in value if isinstance(item, str))
    return ""


def texts(source: Json, fields: Sequence[str]) -> list[str]:
    """Texts of a document for the columns of its full-text table."""
    return [field_text(value_at(source, name)) for name in fields]


def table(index_id: int) -> str:
    """Name of an index's full-text table."""
    return f"text_{index_id}"


def create_sql(index_id: int, fields: int) -> str:
    """The statement that creates the full-text table of an index with `fields` fields."""
    columns = ", ".join(f"c{i}" for i in range(fields))
    # Porter's stemmer as in the `english` analyzer of clusters; FTS5 has no stop words.
    return f"CREATE VIRTUAL TABLE {table(index_id)} USING fts5({columns}, content='', tokenize='porter unicode61')"


def insert(connection: sqlite3.Connection, index_id: int, row: int, values: Sequence[str]) -> None:
    """Add a document's text."""
    columns = ", ".join(f"c{i}" for i in range(len(values)))
    slots = ", ?" * len(values)
    name = table(index_id)
    connection.execute(f"INSERT INTO {name} (rowid, {columns}) VALUES (?{slots})", (row, *values))


def delete(connection: sqlite3.Connection, index_id: int, row: int, values: Sequence[str]) -> None:
    """Take a document's text away; a contentless table needs the text it was indexed with."""
    columns = ", ".join(f"c{i}" for i in range(len(values)))
    slots = ", ?" * len(values)
    name = table(index_id)
    connection.execute(f"INSERT INTO {name} ({name}, rowid, {columns}) VALUES ('delete', ?{slots})", (row, *values))


def word_sql(index_id: int, fields: Sequence[str], query: LexicalQuery) -> str:
    """The statement that scores every document with a given word."""
    name = table(index_id)
    weights = ", ".join(repr(float(query.boosts.get(field, 0.0))) for field in fields)
    # FTS5's bm25() is the smaller the better a row matches.
    return f"SELECT rowid, -bm25({name}, {weights}) FROM {name} WHERE {name} MATCH ?"


def word_expression(word: str, fields: Sequence[str], query: LexicalQuery) -> str:
    """The FTS5 expression for a word, quoted so that it cannot be read as syntax.

    >>> word_expression("AND", ["title", "text"], LexicalQuery(("AND",), {"title": 1.0}))
    '{c0} : "AND"'
    """
    columns = [f"c{i}" for i, name in enumerate(fields) if query.boosts.get(name, 0.0) > 0]
    return f'"{word}"' if len(columns) == len(fields) else f'{{{" ".join(columns)}}} : "{word}"'


def search(
    connection: sqlite3.Connection, index_id: int, fields: Sequence[str], query: LexicalQuery, mirror: Mirror
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """BM25 of every document by position, and which documents match.

    BM25 is a sum over words, so each word is scored on its own and cached: words that many queries share, stop
    words above all, are scored once per generation of the index.
    """
    scores, matches = np.zeros(len(mirror)), np.zeros(len(mirror), np.int64)
    if not any(query.boosts.get(name, 0.0) > 0 for name in fields):
        return scores, matches > 0
    statement = word_sql(index_id, fields, query)
    for word in query.words:
        expression = word_expression(word, fields, query)
        positions, bm25 = mirror.scored((statement, expression), connection)
        scores[positions] += bm25
        matches[positions] += 1
    matched = matches >= (max(1, len(query.words)) if query.all_words else 1)
    return np.where(matched, scores, 0.0), matched
