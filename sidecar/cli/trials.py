"""Judged searches: reading queries, running them, measuring each variant."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from sidecar.cli.idle import idle
from sidecar.cli.output import Output
from sidecar.cli.session import Session
from sidecar.errors import ChercheError, Code, invalid
from sidecar.values.first_stage import Mode
from sidecar.values.options import Option
from sidecar.values.search import QueryMode, RerankStatus, SearchRequest

if TYPE_CHECKING:
    from sidecar.client.client import Client

DEPTH = 100
_EXAMPLES = 3
Judgements = Mapping[str, Mapping[str, int]]
Gains = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to search, written ``mode[:query_mode][+rerank]``."""

    name: str
    mode: Mode
    query_mode: QueryMode
    rerank: bool

    @classmethod
    def parse(cls, text: str, query_mode: QueryMode = "full") -> Variant:
        """Read one.

        Raises
        ------
        click.UsageError
            Naming the forms that are understood.

        >>> Variant.parse("sparse:pruned+rerank")
        Variant(name='sparse:pruned+rerank', mode='sparse', query_mode='pruned', rerank=True)
        """
        form, plus, suffix = text.partition("+")
        mode, _, asked = form.partition(":")
        known = next((m for m in get_args(Mode) if m == mode), None)
        expansion = next((q for q in get_args(QueryMode) if q == (asked or query_mode)), None)
        if known is None or expansion is None or (plus and suffix != "rerank"):
            raise click.UsageError(
                f"mode {text!r} is not {' or '.join(get_args(Mode))}, with :pruned or :doc_only, with +rerank"
            )
        if asked and known == "bm25":
            raise click.UsageError(f"mode {text!r}: bm25 has no terms, of which {asked!r} would be some")
        return cls(text, known, expansion, bool(plus))

    def idle(self, row: Option, given: Mapping[str, Any]) -> str:
        """Why an option of a search does nothing in this one, "" where it does something.

        >>> from sidecar.values.options import options
        >>> Variant.parse("sparse+rerank").idle(options(SearchRequest)["fusion"], {})
        'is of mode hybrid, which is sparse'
        """
        values = {**given, "mode": self.mode, "query_mode": self.query_mode, "rerank": self.rerank}
        return idle(row.of, row.without, values, {name: name for name in values})

    def request(self, index: str, text: str = "", **given: Any) -> SearchRequest:  # noqa: ANN401  # further fields
        """A search of this kind."""
        return SearchRequest(index, text, mode=self.mode, query_mode=self.query_mode, rerank=self.rerank, **given)


@dataclass(slots=True)
class Trial:
    """Results of one variant: ids in order of rank, seconds, and rerank statuses."""

    rankings: dict[str, list[str]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)


def existing_file() -> click.Path:
    """A file that must be there, as a path."""
    return click.Path(exists=True, dir_okay=False, path_type=Path)


def read(queries: Path, qrels: Path, limit: int | None) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
    """Judged queries in the order of the judgements, and the judgements.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT naming file and line, or the judged query that has no text.
    """
    from cherche_models.evaluate import judged, read_qrels, read_queries

    try:
        texts, judgements = read_queries(queries), read_qrels(qrels)
        wanted = judged(judgements)[:limit]
    except ValueError as error:
        raise invalid(str(error), "correct the file") from error
    missing = [query for query in wanted if query not in texts]
    if missing:
        raise invalid(f"{queries} lacks {len(missing)} judged queries, such as {missing[0]!r}", "add them")
    return {query: texts[query] for query in wanted}, {query: judgements[query] for query in wanted}


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many of the judged documents an index holds; `examples` are some that it does not."""

    judged: int
    absent: int
    examples: tuple[str, ...] = ()

    @classmethod
    def of(cls, judged: Iterable[str], held: Container[str]) -> Coverage:
        """Compare what is judged with what is there.

        >>> Coverage.of(["a", "b"], {"b"})
        Coverage(judged=2, absent=1, examples=('a',))
        """
        wanted = dict.fromkeys(judged)
        absent = [key for key in wanted if key not in held]
        return cls(len(wanted), len(absent), tuple(absent[:_EXAMPLES]))

    def warn(self, output: Output, index: str) -> None:
        """Say that no search can find them."""
        if self.absent:
            named = ", ".join(map(repr, self.examples)) + (", …" if self.absent > len(self.examples) else "")
            output.note(
                f"warning: {self.absent:,} of {self.judged:,} judged documents are not in {index} ({named}): "
                "no search finds them, and every figure is lower for it"
            )


async def coverage(session: Session, client: Client, index: str, judgements: Gains) -> Coverage:
    """Look the judged documents up in an index, and warn of those that it does not hold."""
    judged = dict.fromkeys(document for row in judgements.values() for document in row)
    held = {document.id async for document in client.dump_index(index, ids=list(judged))}
    found = Coverage.of(judged, held)
    found.warn(session.output, index)
    return found


async def measure(
    session: Session,
    client: Client,
    base: SearchRequest,
    variants: Sequence[Variant],
    texts: Mapping[str, str],
) -> dict[str, Trial]:
    """Search with every variant for every text, one after another."""
    trials = {}
    progress = session.output.progress()
    for variant in variants:
        request = replace(base, mode=variant.mode, query_mode=variant.query_mode, rerank=variant.rerank)
        await client.search(replace(request, text=next(iter(texts.values()))))
        trial = trials[variant.name] = Trial()
        for done, (query, text) in enumerate(texts.items(), 1):
            started = time.perf_counter()
            result = await client.search(replace(request, text=text))
            trial.seconds.append(time.perf_counter() - started)
            trial.rankings[query] = [hit.id for hit in result.hits]
            trial.statuses[result.rerank.status] += 1
            progress(f"{variant.name}: {done} of {len(texts)} queries")
    progress.close()
    return trials


def latency(seconds: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile, in milliseconds.

    >>> latency([0.001, 0.002, 0.003])
    {'p50': 2.0, 'p95': 2.9}
    """
    import numpy as np

    p50, p95 = np.percentile(np.array(seconds) * 1000, [50, 95])
    return {"p50": round(float(p50), 3), "p95": round(float(p95), 3)}


def error_of(value: float | None) -> str:
    """A standard error for reading."""
    return "–" if value is None else f"{value:.4f}"


def shown_p(value: float) -> str:
    """A p-value for reading."""
    return "<0.0001" if value < 0.0001 else f"{value:.4f}"


def check_applied(reranked: Sequence[Variant], trials: Mapping[str, Trial]) -> None:
    """Refuse figures of a rerank that did not happen.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION naming the mode and what came back instead.
    """
    for variant in reranked:
        others = {s: n for s, n in trials[variant.name].statuses.items() if s != RerankStatus.APPLIED}
        if others:
            listed = ", ".join(f"{count} {status}" for status, count in sorted(others.items()))
            raise ChercheError(
                Code.FAILED_PRECONDITION,
                f"mode {variant.name} was not reranked throughout: {listed}",
                "its figures are not a rerank's; run: cherche doctor",
            )
