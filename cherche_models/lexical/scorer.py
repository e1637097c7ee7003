"""BM25 of a query over all documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cherche_models.lexical.bm25 import TIE_BREAKER, Field, Scores, best_fields
from cherche_models.lexical.table import FullText, Rows, stems

MAX_CACHE_BYTES = 64 * 1024 * 1024


@dataclass(slots=True, eq=False)
class Scorer:
    """Scores over one state of a table.

    BM25 is a sum over words, so each word is scored on its own, and its scores are kept for the next query.

    Attributes
    ----------
    rows : int64 array, shape (documents,)
        Row numbers, ascending; the index into it is a document's position.
    fields : sequence of Field
    """

    rows: Rows
    fields: Sequence[Field]
    _cache: dict[str, list[tuple[Rows, Scores]]] = field(default_factory=dict)
    _cache_bytes: int = 0

    @classmethod
    def of(cls, rows: Rows, lengths: Rows) -> Scorer:
        """A scorer of documents with these numbers of words, shape (fields, documents)."""
        return cls(rows, [Field.of(one) for one in lengths])

    def search(
        self,
        text: FullText,
        words: Sequence[str],
        boosts: Sequence[float],
        *,
        all_words: bool = False,
        tie_breaker: float = TIE_BREAKER,
    ) -> tuple[Scores, NDArray[np.bool_]]:
        """BM25 of every document by position, 0 where it does not match, and which match.

        Parameters
        ----------
        text : FullText
        words : sequence of str
            Of the query; a word that occurs twice counts twice.
        boosts : sequence of float
            Of the fields; a field with 0 is not searched.
        all_words : bool
            Whether a document has to hold all words, in any of the fields, or one.
        tie_breaker : float
            See `best_fields`.
        """
        if not self.rows.size:
            return np.zeros(0), np.zeros(0, np.bool_)
        searched = [i for i, boost in enumerate(boosts) if boost]
        scores = np.zeros((len(boosts), self.rows.size))
        matches = np.zeros(self.rows.size, np.int64)
        for stem in stems(words):
            found = np.zeros(self.rows.size, np.bool_)
            by_field = self._scored(stem, text)
            for i in searched:
                positions, added = by_field[i]
                scores[i, positions] += added
                found[positions] = True
            matches += found
        matched = matches >= (max(1, len(words)) if all_words else 1)
        return np.where(matched, best_fields(scores, boosts, tie_breaker), 0.0), matched

    def _scored(self, stem: str, text: FullText) -> list[tuple[Rows, Scores]]:
        """Positions and scores of the documents that have a word, by field."""
        if stem not in self._cache:
            found = []
            for statistics, (rows, frequencies) in zip(self.fields, text.postings(stem), strict=True):
                positions = np.searchsorted(self.rows, rows).astype(np.int64)
                found.append((positions, statistics.scores((positions, frequencies))))
            size = sum(positions.nbytes + scores.nbytes for positions, scores in found)
            if self._cache_bytes + size > MAX_CACHE_BYTES:
                self._cache.clear()
                self._cache_bytes = 0
            self._cache[stem] = found
            self._cache_bytes += size
        return self._cache[stem]
