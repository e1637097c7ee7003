"""Judgements from a log of searches and clicks, without the advantage that a high rank gives a document.

A document's gain is the excess of its clicks over those that any document gets on the ranks where it was shown (clicks
over expected clicks, COEC: Zhang and Jones, Comparing click logs and editorial labels for training query rewriting,
WWW 2007). Documents that were never shown have none, so that a log speaks for what it knows.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cherche_models.evaluate import formats

PRIOR = 1.0
"""Expected clicks that are added below: one click on a rank that nobody clicks proves little."""

LEAST_QUERIES = 50
"""Queries for which clicks must say something, before anything is concluded from a log."""

MOST_NEGATIVES = 8
_DEEPEST = 100
_GRADES = (0.5, 1.5)
_CHANCE = 0.01


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


@dataclass(frozen=True, slots=True)
class Preference:
    """A document that people chose beyond its rank, and those that they looked at and passed over.

    Attributes
    ----------
    query : str
    positive : str
        Id of a document.
    negatives : tuple of str
        Ids, those that most clicks were expected on first.
    answers : tuple of str
        Ids of the query's other chosen documents.
    """

    query: str
    positive: str
    negatives: tuple[str, ...]
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Counts:
    """By query and document: clicks, and those that the ranks where it was shown get."""

    texts: dict[str, str]
    expected: dict[str, dict[str, float]]
    clicked: dict[str, dict[str, int]]

    def gain(self, query: str, id: str) -> float:
        """``(clicks − expected) / (expected + PRIOR)``."""
        usual = self.expected[query][id]
        return (self.clicked[query][id] - usual) / (usual + PRIOR)


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
    counts = _counted(log)
    judgements: dict[str, dict[str, float]] = {}
    for query, documents in counts.expected.items():
        excess = {id: counts.gain(query, id) for id in documents}
        if positive := {id: value for id, value in excess.items() if value > 0}:
            judgements[query] = positive
    return {query: counts.texts[query] for query in judgements}, judgements


def preferences(log: Sequence[Shown]) -> list[Preference]:
    """What a model can learn from a log: pairs for training, one for each document that was chosen.

    A document is chosen if so many clicks on its ranks are less likely than 1 in 100, by a Poisson distribution of the
    expected ones: a single click proves nothing, wherever it falls. Negatives were clicked less than their ranks are;
    documents in between teach nothing.

    Raises
    ------
    ValueError
        If fewer than `LEAST_QUERIES` queries have a chosen document with a negative.
    """
    counts = _counted(log)
    found: list[Preference] = []
    for query, documents in counts.expected.items():
        passed = sorted((id for id in documents if counts.gain(query, id) < 0), key=lambda id: -documents[id])
        chosen = [id for id in documents if _tail(counts.clicked[query][id], documents[id]) < _CHANCE]
        found += [
            Preference(
                counts.texts[query], one, tuple(passed[:MOST_NEGATIVES]), tuple(id for id in chosen if id != one)
            )
            for one in chosen
            if passed
        ]
    if (queries := len({one.query for one in found})) < LEAST_QUERIES:
        raise ValueError(
            f"clicks say for {queries} queries which document is better than which, and {LEAST_QUERIES} are needed"
        )
    return found


def _tail(clicks: int, expected: float) -> float:
    """How likely at least so many clicks are by chance.

    >>> round(_tail(4, 0.72), 4), _tail(0, 0.5), _tail(10_000, 5_000.0)
    (0.0063, 1.0, 0.0)
    """
    if clicks <= expected:
        return 1.0
    fewer = (math.exp(n * math.log(expected) - expected - math.lgamma(n + 1)) for n in range(clicks))
    return max(0.0, 1 - math.fsum(fewer))


def _counted(log: Sequence[Shown]) -> _Counts:
    usual = rates(log)
    texts: dict[str, str] = {}
    expected: defaultdict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    clicked: defaultdict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for search in log:
        query = " ".join(search.query.casefold().split())
        texts.setdefault(query, search.query)
        for rank, id in enumerate(search.shown[:_DEEPEST]):
            expected[query][id] += usual[rank]
            clicked[query][id] += id in search.clicked
    return _Counts(texts, expected, clicked)


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
