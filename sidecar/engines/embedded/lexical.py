"""BM25 by SQLite's FTS5: words of a text, match expressions, the full-text tables.

FTS5's ``bm25()`` has k1 = 1.2 and b = 0.75 fixed; a column's weight multiplies its
term frequencies. Each index has a contentless table, whose rows share their number
with `documents`: the text itself is in the source already.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sidecar.types import Json

MAX_WORDS = 1024

# What unicode61 takes for a word: letters, digits, and the accents it removes.
_WORD = re.compile(r"(?:[^\W_]|[\u0300-\u0331])+")


@dataclass(frozen=True, slots=True)
class LexicalQuery:
    """Words, the fields they are looked for in with their boosts, and whether all must match."""

    words: tuple[str, ...]
    boosts: Mapping[str, float]
    all_words: bool = False


def words(text: str) -> tuple[str, ...]:
    """Cut a text where FTS5 cuts it, at most `MAX_WORDS` words.

    >>> words("what's AND (this)?")
    ('what', 's', 'AND', 'this')
    """
    return tuple(_WORD.findall(text)[:MAX_WORDS])


def field_text(value: object) -> str:
    """Text of one field: a string, or a list of strings joined by one space; of anything else none.

    >>> field_text(["a", 3, "b"])
    'a b'
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence):
        return " ".join(item for item in value if isinstance(item, str))
    return ""


def texts(source: Json, fields: Sequence[str]) -> list[str]:
    """What a document puts into the columns of its full-text table."""
    return [field_text(source.get(name)) for name in fields]


def table(index_id: int) -> str:
    """Name of an index's full-text table."""
    return f"text_{index_id}"


def create_sql(index_id: int, fields: int) -> str:
    """Statement that makes the full-text table of an index with so many fields."""
    columns = ", ".join(f"c{i}" for i in range(fields))
    return f"CREATE VIRTUAL TABLE {table(index_id)} USING fts5({columns}, content='', tokenize='porter unicode61')"


def insert(connection: sqlite3.Connection, index_id: int, row: int, values: Sequence[str]) -> None:
    """Add a document's text."""
    columns = ", ".join(f"c{i}" for i in range(len(values)))
    slots = ", ?" * len(values)
    name = table(index_id)
    connection.execute(f"INSERT INTO {name} (rowid, {columns}) VALUES (?{slots})", (row, *values))


def delete(connection: sqlite3.Connection, index_id: int, row: int, values: Sequence[str]) -> None:
    """Take a document's text away; a contentless table must be told what it was."""
    columns = ", ".join(f"c{i}" for i in range(len(values)))
    slots = ", ?" * len(values)
    name = table(index_id)
    connection.execute(f"INSERT INTO {name} ({name}, rowid, {columns}) VALUES ('delete', ?{slots})", (row, *values))


def match_expression(query: LexicalQuery, fields: Sequence[str]) -> str:
    """FTS5's expression: every word quoted, so that none can be syntax; "" where nothing can match.

    >>> match_expression(LexicalQuery(("what", "AND"), {"title": 1.0}), ["title", "text"])
    '{c0} : ("what" OR "AND")'
    """
    columns = [f"c{i}" for i, name in enumerate(fields) if query.boosts.get(name, 0.0) > 0]
    if not query.words or not columns:
        return ""
    joined = (" AND " if query.all_words else " OR ").join(f'"{word}"' for word in query.words)
    return joined if len(columns) == len(fields) else f"{{{' '.join(columns)}}} : ({joined})"


def search_sql(index_id: int, fields: Sequence[str], query: LexicalQuery) -> str:
    """Statement that scores every document matching an expression."""
    name = table(index_id)
    weights = ", ".join(repr(float(query.boosts.get(field, 0.0))) for field in fields)
    return f"SELECT rowid, -bm25({name}, {weights}) FROM {name} WHERE {name} MATCH ?"


def search(
    connection: sqlite3.Connection, index_id: int, fields: Sequence[str], query: LexicalQuery
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rows and BM25 of all matching documents, in no order."""
    expression = match_expression(query, fields)
    if not expression:
        return np.empty(0, np.int64), np.empty(0, np.float64)
    found = connection.execute(search_sql(index_id, fields, query), (expression,)).fetchall()
    scored = np.fromiter(found, np.dtype([("row", np.int64), ("score", np.float64)]), len(found))
    return scored["row"], scored["score"]
