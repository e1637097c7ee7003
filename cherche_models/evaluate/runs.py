"""Runs in TREC format: ``query Q0 document rank score name``, one line per hit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from cherche_models.evaluate import columns

_COLUMNS = 6


def read_run(path: Path) -> dict[str, list[str]]:
    """Rankings of a run, ordered as by trec_eval.

    That is in descending order of score, ties in descending order of document id;
    the rank column is ignored. Tabs, encoding and compression are as in `columns.rows`.

    Returns
    -------
    dict of query id → document ids, best first

    Raises
    ------
    ValueError
        Naming file and line: other columns, an empty id, a score that is not a finite number, or a
        repeated document.
    """
    found: dict[str, dict[str, float]] = {}
    for where, cells in columns.rows(path):
        query, document, score = _hit(where, cells)
        row = found.setdefault(query, {})
        if document in row:
            raise ValueError(f"{where}: query {query!r} has the document {document!r} already")
        row[document] = score
    if not found:
        raise ValueError(f"{path}: the file has no hits")
    return {query: ranking(row) for query, row in found.items()}


def ranking(scores: Mapping[str, float]) -> list[str]:
    """Documents in descending order of score, ties in descending order of id, as in trec_eval.

    >>> ranking({"a": 1.0, "b": 2.0, "c": 1.0})
    ['b', 'c', 'a']
    """
    return sorted(scores, key=lambda document: (scores[document], document), reverse=True)


def write_run(path: Path, rankings: Mapping[str, Sequence[str]], name: str) -> None:
    """Write rankings so that `read_run` and trec_eval restore their order.

    Parameters
    ----------
    path : Path
    rankings : mapping of query id → document ids, best first
        Scores decrease by one per rank, to 1 for the last rank of the longest ranking.
    name : str
        Of the run; the last column.

    Raises
    ------
    ValueError
        If a name or an id is empty or contains white space, which the format cannot represent.
    """
    for word in (name, *rankings, *(document for row in rankings.values() for document in row)):
        if not word or any(letter.isspace() for letter in word):
            raise ValueError(f"{word!r} cannot be written to a TREC run: it is empty or contains white space")
    top = max((len(row) for row in rankings.values()), default=0)
    lines = [
        f"{query} Q0 {document} {rank} {top + 1 - rank} {name}\n"
        for query, row in rankings.items()
        for rank, document in enumerate(row, 1)
    ]
    path.write_text("".join(lines), encoding="utf-8")


def _hit(where: str, cells: list[str]) -> tuple[str, str, float]:
    if len(cells) != _COLUMNS:
        raise ValueError(f"{where}: expected query, Q0, document, rank, score, name; found {len(cells)} columns")
    try:
        score = float(cells[4])
    except ValueError as error:
        raise ValueError(f"{where}: the score {cells[4]!r} is not a number") from error
    if not cells[0] or not cells[2]:
        raise ValueError(f"{where}: the id of the {'document' if cells[0] else 'query'} is empty")
    if not math.isfinite(score):
        raise ValueError(f"{where}: the score {cells[4]!r} is not finite")
    return cells[0], cells[2], score
