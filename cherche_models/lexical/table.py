"""A full-text table of SQLite's FTS5 as a store of postings.

FTS5 keeps, stems and counts the words that `words` makes; its own ``bm25()`` is not used, since it multiplies by
k1 + 1, treats columns as one text and counts exact lengths, so that it ranks otherwise than Lucene. A table is
contentless: what it was given is needed again to delete it.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cherche_models.lexical.words import words

Rows = NDArray[np.int64]
Postings = tuple[Rows, Rows]
"""Row numbers, ascending, and how often each has the word."""

# The tokenizer splits at the spaces that `_joined` writes: all bytes of words are among its characters.
_TOKENIZER = "porter ascii tokenchars ''\".,:;_''"


@dataclass(frozen=True, slots=True)
class FullText:
    """A table of texts with a fixed number of fields.

    Attributes
    ----------
    connection : sqlite3.Connection
    name : str
        Of the table; an SQL identifier.
    fields : int
    """

    connection: sqlite3.Connection
    name: str
    fields: int

    @property
    def create_sql(self) -> tuple[str, str]:
        """The statements that create the table, and a view of its postings."""
        return (
            f"CREATE VIRTUAL TABLE {self.name} USING fts5({self._columns}, content='', tokenize='{_TOKENIZER}')",
            f"CREATE VIRTUAL TABLE {self.name}_stems USING fts5vocab({self.name}, instance)",
        )

    @property
    def drop_sql(self) -> tuple[str, str]:
        """The statements that delete them."""
        return f"DROP TABLE IF EXISTS {self.name}_stems", f"DROP TABLE {self.name}"

    def create(self) -> None:
        """Create the table."""
        for statement in self.create_sql:
            self.connection.execute(statement)

    @property
    def lengths_table(self) -> str:
        """The table of lengths: row number ``id``, and ``sz``, which `lengths` reads."""
        return f"{self.name}_docsize"

    def insert(self, row: int, texts: Sequence[str]) -> None:
        """Add the texts of a row, one for each field."""
        slots = ", ?" * self.fields
        self.connection.execute(
            f"INSERT INTO {self.name} (rowid, {self._columns}) VALUES (?{slots})", (row, *map(_joined, texts))
        )

    def delete(self, row: int, texts: Sequence[str]) -> None:
        """Take a row away, given the texts that it was added with."""
        slots = ", ?" * self.fields
        self.connection.execute(
            f"INSERT INTO {self.name} ({self.name}, rowid, {self._columns}) VALUES ('delete', ?{slots})",
            (row, *map(_joined, texts)),
        )

    def postings(self, stem: str) -> list[Postings]:
        """Postings of a stem in each field."""
        # One string of numbers: fetching a row for each occurrence takes more than twice the time.
        (found,) = self.connection.execute(
            f"SELECT group_concat(doc * {self.fields} + substr(col, 2)) FROM {self.name}_stems WHERE term = ?", (stem,)
        ).fetchone()
        places, counts = np.unique(np.fromstring(found or "", np.int64, sep=","), return_counts=True)
        rows, owners = np.divmod(places, self.fields)
        return [(rows[owners == field], counts[owners == field]) for field in range(self.fields)]

    @property
    def _columns(self) -> str:
        return ", ".join(f"c{i}" for i in range(self.fields))


def stems(query: Sequence[str]) -> list[str]:
    """Stems of words, in order, by the stemmer of the table.

    >>> stems(["running", "3.5"])
    ['run', '3.5']
    """
    run = _STEMMER.connection.execute
    run("INSERT INTO query (query) VALUES ('delete-all')")
    run("INSERT INTO query (rowid, c0) VALUES (1, ?)", (" ".join(query),))
    return [stem for (stem,) in run("SELECT term FROM query_stems ORDER BY offset")]


def lengths(stored: Iterable[bytes | None], fields: int) -> Rows:
    r"""Number of words by field, from the column ``sz`` of rows.

    Returns
    -------
    int64 array, shape (fields, rows)

    >>> lengths([b"\x03\x81\x00", None], 2).tolist()
    [[3, 0], [128, 0]]
    """
    read = [tuple(_varints(one)) if one is not None else (0,) * fields for one in stored]
    return np.array(read, np.int64).reshape(-1, fields).T


def _varints(data: bytes) -> Iterator[int]:
    """Integers of seven bits a byte, the highest first; all bytes but the last of a number have the eighth set."""
    value = 0
    for byte in data:
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            yield value
            value = 0


def _joined(text: str) -> str:
    return " ".join(words(text))


class _Stemmer(threading.local):
    """A table of one text, for each thread: SQLite offers its stemmer in no other way."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:")
        FullText(self.connection, "query", 1).create()


_STEMMER = _Stemmer()
