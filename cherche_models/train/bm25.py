"""In-memory BM25 for mining hard negatives and as the first stage when weights are tuned.

The same words, table and scores as in the embedded engine, which are those of a cluster with the `english` analyzer.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

import numpy as np

from cherche_models.lexical import FullText, Scorer, lengths, words


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
        self._ids = list(documents)
        database = sqlite3.connect(":memory:")
        self._table = FullText(database, "texts", widths.pop())
        self._table.create()
        for row, fields in enumerate(documents.values()):
            self._table.insert(row, fields)
        stored = database.execute(f"SELECT sz FROM {self._table.lengths_table} ORDER BY id")
        self._scorer = Scorer.of(np.arange(len(documents)), lengths((sz for (sz,) in stored), self._table.fields))

    def __len__(self) -> int:
        return len(self._ids)

    def search(self, query: str, k: int) -> list[tuple[str, float]]:
        """The `k` best documents in descending order of score; ties in insertion order.

        >>> BM25({"a": ["ducks swim"], "b": ["geese fly"], "c": ["a cow"]}).search("a swimming duck?", 2)[0][0]
        'a'
        """
        scores, _ = self._scorer.search(self._table, words(query), [1.0] * self._table.fields)
        best = np.argsort(-scores, kind="stable")[:k]
        return [(self._ids[i], float(scores[i])) for i in best if scores[i] > 0]
