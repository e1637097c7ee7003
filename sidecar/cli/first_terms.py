"""What is lost and gained where few terms find the candidates: measured on an index's own queries, for ``tune``."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import click

from sidecar.cli.output import table
from sidecar.cli.session import Session
from sidecar.cli.trials import DEPTH, latency
from sidecar.values.search import SearchRequest

if TYPE_CHECKING:
    from sidecar.client.client import Client

TERMS = (8, 12, 16, 24)
_FASTER = 0.9  # of the median time of all terms: less of a gain is not worth a hit


@dataclass(slots=True)
class FirstTerms:
    """So many terms found the candidates; 0: all terms found the hits.

    Attributes
    ----------
    recall : float
        Mean share of the best hits of all terms that are among as many best ones here.
    two_phases : float
        Share of the searches that had two phases: one of fewer terms has none.
    """

    terms: int
    recall: float = 1.0
    two_phases: float = 0.0
    p50: float = 0.0
    p95: float = 0.0


@dataclass(slots=True)
class _Tried:
    recalls: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    applied: list[bool] = field(default_factory=list)

    def row(self, terms: int) -> FirstTerms:
        share = sum(self.applied) / len(self.applied)
        return FirstTerms(terms, sum(self.recalls) / len(self.recalls), share, **latency(self.seconds))


async def measured_recall(session: Session, client: Client, index: str, texts: Iterable[str]) -> list[FirstTerms]:
    """Search with each number of first terms in turn, by the settings that the index has."""
    tried = {terms: _Tried() for terms in (0, *TERMS)}
    progress = session.output.progress()
    for done, text in enumerate(texts, 1):
        exact: list[str] = []
        for terms, one in tried.items():
            started = time.perf_counter()
            result = await client.search(SearchRequest(index, text, mode="hybrid", first_terms=terms, size=DEPTH))
            one.seconds.append(time.perf_counter() - started)
            one.applied.append(bool(result.sparse.first_terms))
            ids = [hit.id for hit in result.hits]
            exact = exact if terms else ids
            one.recalls.append(len(set(exact) & set(ids)) / len(exact) if exact else 1.0)
        progress(f"first terms: {done} queries")
    progress.close()
    return [one.row(terms) for terms, one in tried.items()]


def fewest_terms(rows: Sequence[FirstTerms], least: float) -> int:
    """The fewest first terms that keep so much recall and are faster than all; 0 where there are none.

    >>> exact = FirstTerms(0, p50=20.0)
    >>> fewest_terms([exact, FirstTerms(8, 0.97, 1.0, p50=9.0), FirstTerms(12, 0.992, 1.0, p50=10.0)], 0.99)
    12
    >>> fewest_terms([exact, FirstTerms(12, 0.992, 1.0, p50=19.0)], 0.99)
    0
    """
    exact = rows[0]
    kept = [row.terms for row in rows[1:] if row.two_phases and row.recall >= least and row.p50 < _FASTER * exact.p50]
    return min(kept, default=0)


def recall_report(rows: Sequence[FirstTerms], chosen: int, least: float, *, written: bool) -> dict[str, Any]:
    """As JSON."""
    return {"least_recall": least, "choice": chosen, "written": written, "measured": [asdict(row) for row in rows]}


def print_recall(found: Mapping[str, Any]) -> None:
    """Print a report."""
    names = ("first terms", f"recall@{DEPTH}", "of searches", "p50 ms", "p95 ms")
    rows = [
        (row["terms"] or "all", f"{row['recall']:.4f}", f"{row['two_phases']:.0%}", row["p50"], row["p95"])
        for row in found["measured"]
    ]
    table(names, rows)
    said = f"{found['choice']} first terms" if found["choice"] else "one phase of all terms"
    how = "the index searches with" if found["written"] else "the choice is"
    click.echo(f"{how} {said}: recall at least {found['least_recall']:g}, and a median below that of all terms")
