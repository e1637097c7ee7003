"""What shadow mode logged: two orders of the same searches, compared.

The plugin writes, for a share of searches, the page that the user got and the one that the hybrid search would have
given: ids and times, and of the query a key alone. Judgements are joined by that key.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cherche_models.evaluate.clicks import LEAST_QUERIES
from cherche_models.evaluate.significance import Comparison, compare
from cherche_models.evaluate.tuning import DEPTH, ideal_dcg

Gains = Mapping[str, Mapping[str, float]]

_MARK = "shadow {"
_KEY_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Shadowed:
    """One search, answered twice.

    Attributes
    ----------
    index : str
        As the search named it.
    key : str
        Of the query, see `query_key`; "" where it had no text.
    shown, hybrid : tuple of str
        Ids in order of rank, as the user saw them and as the hybrid search has them.
    shown_ms, hybrid_ms : float
        Of the user's search in the cluster; of the other as a whole, with encoding and rerank.
    rerank_status : str
    """

    index: str
    key: str
    shown: tuple[str, ...]
    hybrid: tuple[str, ...]
    shown_ms: float
    hybrid_ms: float
    rerank_status: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a log of shadow mode says.

    Attributes
    ----------
    searches : int
    overlap : float
        Mean share of the longer page that both pages have.
    same_order : float
        Share of the searches with two equal pages.
    shown_ms, hybrid_ms : dict of "p50" and "p95" → float
    rerank_statuses : dict of status → searches
    judged_queries : int
        Queries with a judged document on either page.
    judged : Comparison or None
        nDCG@10 of the shown page with that of the hybrid one, query by query; None where fewer than
        `LEAST_QUERIES` queries are judged.
    """

    searches: int
    overlap: float
    same_order: float
    shown_ms: dict[str, float]
    hybrid_ms: dict[str, float]
    rerank_statuses: dict[str, int]
    judged_queries: int
    judged: Comparison | None

    @property
    def win_rate(self) -> float | None:
        """Share of the judged queries with a better and a worse page that the hybrid one is better on."""
        decided = self.judged.wins + self.judged.losses if self.judged else 0
        return self.judged.wins / decided if self.judged and decided else None


def query_key(text: str) -> str:
    """A query as the log names it: the first half of the sha256 of its words, in lower case, hexadecimal.

    >>> query_key("Red  fox") == query_key("red fox ")
    True
    """
    words = " ".join(text.lower().split())
    return hashlib.sha256(words.encode()).hexdigest()[:_KEY_DIGITS]


def read_shadow(path: Path, index: str) -> list[Shadowed]:
    """Searches of an index in a node's log, plain or JSON by line; other lines are passed over.

    Raises
    ------
    ValueError
        Naming the line of shadow mode that cannot be read, or what the log has instead of the index.
    """
    found = list(_records(path))
    wanted = [record for record in found if record.index == index]
    if not found:
        raise ValueError(f"{path} has no line of shadow mode")
    if not wanted:
        names = ", ".join(sorted({record.index for record in found})[:5])
        raise ValueError(f"{path} has no search of {index!r}, but of {names}")
    return wanted


def report(log: Sequence[Shadowed], judgements: Gains, *, shown_is_judged: bool) -> Report:
    """Sum a log up.

    Parameters
    ----------
    log : sequence of Shadowed, at least one
    judgements : mapping of query text → document id → gain
    shown_is_judged : bool
        Whether a page that a user saw is judged as a whole, as clicks judge it. Documents that nobody judged are
        left out of both pages, else a page would lose by whatever is new on it (condensed lists: Sakai,
        Alternatives to bpref, SIGIR 2007).
    """
    gains = {query_key(text): row for text, row in judgements.items()}
    pairs: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for one in log:
        row = gains.get(one.key)
        known = set(row or ()) | (set(one.shown) if shown_is_judged else set())
        if row and any(row.get(id, 0) > 0 for id in (*one.shown, *one.hybrid)):
            pairs[one.key].append((_ndcg(one.shown, row, known), _ndcg(one.hybrid, row, known)))
    means = {key: np.mean(values, axis=0) for key, values in pairs.items()}
    compared = None
    if len(means) >= LEAST_QUERIES:
        compared = compare(
            {key: float(pair[0]) for key, pair in means.items()}, {key: float(pair[1]) for key, pair in means.items()}
        )
    return Report(
        searches=len(log),
        overlap=round(float(np.mean([_overlap(one) for one in log])), 4),
        same_order=round(float(np.mean([one.shown == one.hybrid for one in log])), 4),
        shown_ms=_percentiles(one.shown_ms for one in log),
        hybrid_ms=_percentiles(one.hybrid_ms for one in log),
        rerank_statuses=dict(Counter(one.rerank_status for one in log)),
        judged_queries=len(means),
        judged=compared,
    )


def _ndcg(page: Sequence[str], gains: Mapping[str, float], known: set[str]) -> float:
    kept = [max(0.0, gains.get(id, 0.0)) for id in page if id in known][:DEPTH]
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(kept, 1)) / ideal_dcg(gains)


def _overlap(one: Shadowed) -> float:
    longer = max(len(one.shown), len(one.hybrid))
    return len({*one.shown} & {*one.hybrid}) / longer if longer else 1.0


def _percentiles(values: Iterable[float]) -> dict[str, float]:
    p50, p95 = np.percentile(list(values), [50, 95])
    return {"p50": round(float(p50), 1), "p95": round(float(p95), 1)}


def _records(path: Path) -> Iterator[Shadowed]:
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            if _MARK not in line:
                continue
            try:
                yield _shadowed(json.loads("{" + _message(line).partition(_MARK)[2]))
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{path}:{number}: a line of shadow mode that cannot be read ({error!r})") from error


def _message(line: str) -> str:
    """The message of a line, also of a node that logs JSON."""
    return str(json.loads(line)["message"]) if line.lstrip().startswith("{") else line


def _shadowed(record: Mapping[str, Any]) -> Shadowed:
    return Shadowed(
        str(record["index"]),
        str(record["query"]),
        tuple(map(str, record["shown"])),
        tuple(map(str, record["hybrid"])),
        float(record["shown_ms"]),
        float(record["hybrid_ms"]),
        str(record["rerank_status"]),
    )
