"""BM25 over the searched fields of an index: its full-text table, a query's words, and scores by position.

Each index has a contentless table with the row numbers of the table of documents, as the text is in the source already.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cherche_models import lexical
from cherche_models.lexical import TIE_BREAKER, FullText
from sidecar.engines.embedded.postings import Mirror
from sidecar.values.documents import Json, text_of, value_at

MAX_WORDS = 1024


@dataclass(frozen=True, slots=True)
class LexicalQuery:
    """The words of a query, the searched fields with their boosts, and whether all words must match.

    A document's score is that of its best field, plus `tie_breaker` times those of its others.
    """

    words: tuple[str, ...]
    boosts: Mapping[str, float]
    all_words: bool = False
    tie_breaker: float = TIE_BREAKER


def words(text: str) -> tuple[str, ...]:
    """The first `MAX_WORDS` words of a text, without stop words.

    >>> words("what's AND (this)?")
    ('what',)
    """
    return tuple(lexical.words(text)[:MAX_WORDS])


def texts(source: Json, fields: Sequence[str]) -> list[str]:
    """Texts of a document for the columns of its full-text table."""
    return [text_of(value_at(source, name)) or "" for name in fields]


def table(connection: sqlite3.Connection, index_id: int, fields: int) -> FullText:
    """The full-text table of an index with `fields` fields."""
    return FullText(connection, f"text_{index_id}", fields)


def search(
    text: FullText, fields: Sequence[str], query: LexicalQuery, mirror: Mirror
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """BM25 of every document by position, and which documents match."""
    boosts = [query.boosts.get(name, 0.0) for name in fields]
    return mirror.scorer.search(text, query.words, boosts, all_words=query.all_words, tie_breaker=query.tie_breaker)
