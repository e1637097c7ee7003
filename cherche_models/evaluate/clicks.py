"""Judgements from a log of searches and clicks, without the advantage that a high rank gives a document.

A document's gain is the excess of its clicks over those that any document gets on the ranks where it was shown (clicks
over expected clicks, COEC: Zhang and Jones, Comparing click logs and editorial labels for training query rewriting,
WWW 2007). Documents that were never shown have none, so that a log speaks for what it knows.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cherche_models.evaluate import formats

PRIOR = 1.0
"""Expected clicks that are added below: one click on a rank that nobody clicks proves little."""

_DEEPEST = 100
_GRADES = (0.5, 1.5)


@dataclass(frozen=True, slots=True)
class Shown:
    """A search as a user saw it.

    Attributes
    ----------
    query : str
    shown : tuple of str
        Ids in order of rank.
    clicked : frozenset of str
        Some of them.
    """

    query: str
    shown: tuple[str, ...]
    clicked: frozenset[str]


def read_clicks(path: Path) -> list[Shown]:
    """Read a log, JSON by line.

    A line is a search, ``{"query": …, "shown": [ids], "clicked": [ids]}``, or a document of the indices that User
    Behavior Insights writes: a query (``user_query``, ``query_id``, ``query_response_hit_ids``), or an event of it, of
    which those count whose ``action_name`` is ``click``. Queries that differ in case or spaces are one.

    Raises
    ------
    ValueError
        Naming the line that is neither.
    """
    searches: list[Shown] = []
    queries: dict[str, tuple[str, tuple[str, ...]]] = {}
    clicks: defaultdict[str, set[str]] = defaultdict(set)
    for where, line in _lines(path):
        match line:
            case {"query": str(query), "shown": list(shown), "clicked": list(clicked)}:
                searches.append(_search(where, query, shown, clicked))
            case {"query_id": str(id), "user_query": str(query), "query_response_hit_ids": list(shown)}:
                queries[id] = query, tuple(map(str, shown))
            case {"query_id": str(id), "action_name": str(action)}:
                if action == "click":
                    clicks[id].add(_object(where, line))
            case _:
                raise ValueError(f"{where}: neither a search with query, shown and clicked nor a record of UBI")
    for id, (text, ids) in queries.items():
        searches.append(Shown(text, ids, frozenset(clicks[id] & set(ids))))
    return searches


def rates(log: Iterable[Shown]) -> list[float]:
    """Share of the documents on each rank that were clicked, over all searches.

    >>> rates([Shown("a", ("1", "2"), frozenset("1")), Shown("b", ("3", "4"), frozenset())])
    [0.5, 0.0]
    """
    shown: defaultdict[int, int] = defaultdict(int)
    clicked: defaultdict[int, int] = defaultdict(int)
    for search in log:
        for rank, id in enumerate(search.shown[:_DEEPEST]):
            shown[rank] += 1
            clicked[rank] += id in search.clicked
    return [clicked[rank] / shown[rank] for rank in range(len(shown))]


def gains(log: Sequence[Shown]) -> tuple[dict[str, str], dict[str, dict[str, float]]]:
    """What the clicks say of documents.

    Returns
    -------
    queries : dict of query id → text
        Those for which some document has a gain.
    judgements : dict of query id → dict of document id → gain
        ``(clicks − expected) / (expected + PRIOR)`` where that is positive. Expected clicks are the sum, over its
        appearances, of the click rate of the rank.
    """
    usual = rates(log)
    texts: dict[str, str] = {}
    expected: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    clicked: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for search in log:
        query = " ".join(search.query.casefold().split())
        texts.setdefault(query, search.query)
        for rank, id in enumerate(search.shown[:_DEEPEST]):
            expected[query][id] += usual[rank]
            clicked[query][id] += id in search.clicked
    judgements: dict[str, dict[str, float]] = {}
    for query, documents in expected.items():
        excess = {id: (clicked[query][id] - usually) / (usually + PRIOR) for id, usually in documents.items()}
        if positive := {id: value for id, value in excess.items() if value > 0}:
            judgements[query] = positive
    return {query: texts[query] for query in judgements}, judgements


def grade(gain: float) -> int:
    """A gain as a grade of 1 to 3, for files of judgements.

    >>> [grade(gain) for gain in (0.1, 0.9, 4.0)]
    [1, 2, 3]
    """
    return 1 + sum(gain >= bound for bound in _GRADES)


def _search(where: str, query: str, shown: Sequence[Any], clicked: Sequence[Any]) -> Shown:
    ids, hit = tuple(map(str, shown)), frozenset(map(str, clicked))
    if stray := sorted(hit - set(ids)):
        raise ValueError(f"{where}: {stray[0]!r} was clicked and not shown")
    return Shown(query, ids, hit)


def _object(where: str, event: Mapping[str, Any]) -> str:
    match event:
        case {"event_attributes": {"object": {"object_id": str(id) | int(id)}}}:
            return str(id)
    raise ValueError(f"{where}: a click without event_attributes.object.object_id")


def _lines(path: Path) -> Iterator[tuple[str, Any]]:
    formats.check_lines(path)
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            where = f"{path}:{number}"
            try:
                yield where, json.loads(line)
            except ValueError as error:
                raise ValueError(f"{where}: not JSON: {error}") from error
