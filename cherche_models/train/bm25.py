"""In-memory BM25 for mining hard negatives and as the first stage when weights are tuned.

SQLite's FTS5 with Porter stemming, query words joined by OR, as in the embedded
engine, so scores are on the same scale.
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
        Field texts; each document has the same number of fields.

    Raises
    ------
    ValueError
        If documents differ in the number of fields.
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
        """The `k` best documents in descending order of score; ties in insertion order.

        >>> BM25({"a": ["ducks swim"], "b": ["geese fly"], "c": ["a cow"]}).search("a swimming duck?", 2)[0][0]
        'a'
        """
        words = dict.fromkeys(_WORD.findall(query.lower()))
        if not words:
            return []
        # FTS5's bm25() is negative, smaller is better.
        rows = self._database.execute(
            "SELECT rowid, -bm25(texts) FROM texts WHERE texts MATCH ? ORDER BY bm25(texts), rowid LIMIT ?",
            (" OR ".join(f'"{word}"' for word in words), k),
        )
        return [(self._ids[row], score) for row, score in rows]
