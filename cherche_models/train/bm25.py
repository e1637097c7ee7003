"""BM25 over texts in memory: hard negatives, and a first stage to tune against.

SQLite's FTS5 with Porter stemming, the query's words joined by OR: what the
embedded engine ranks with, so scores are on its scale.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping, Sequence

_WORD = re.compile(r"\w+")


class BM25:
    """A read-only index of documents.

    Parameters
    ----------
    documents : mapping of id → sequence of fields
        All with the same number of fields; a field is a text.

    Raises
    ------
    ValueError
        If documents differ in their number of fields.
    """

    def __init__(self, documents: Mapping[str, Sequence[str]]) -> None:
        widths = {len(fields) for fields in documents.values()} or {1}
        if len(widths) > 1:
            raise ValueError(f"documents have {sorted(widths)} fields: give each the same number")
        columns = [f"field{i}" for i in range(widths.pop())]
        self._ids = list(documents)
        self._database = sqlite3.connect(":memory:")
        self._database.execute(
            f"CREATE VIRTUAL TABLE texts USING fts5({', '.join(columns)}, tokenize = 'porter unicode61')"
        )
        self._database.executemany(
            f"INSERT INTO texts(rowid, {', '.join(columns)}) VALUES (?{', ?' * len(columns)})",
            ((row, *fields) for row, fields in enumerate(documents.values())),
        )

    def __len__(self) -> int:
        return len(self._ids)

    def search(self, query: str, k: int) -> list[tuple[str, float]]:
        """Best `k` documents with their scores, best first; ties in the order of the documents.

        >>> BM25({"a": ["ducks swim"], "b": ["geese fly"], "c": ["a cow"]}).search("a swimming duck?", 2)[0][0]
        'a'
        """
        words = dict.fromkeys(_WORD.findall(query.lower()))
        if not words:
            return []
        rows = self._database.execute(
            "SELECT rowid, -bm25(texts) FROM texts WHERE texts MATCH ? ORDER BY bm25(texts), rowid LIMIT ?",
            (" OR ".join(f'"{word}"' for word in words), k),
        )
        return [(self._ids[row], score) for row, score in rows]
