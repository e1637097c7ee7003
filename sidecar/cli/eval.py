"""``cherche eval``: search modes measured on queries with judgements."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from sidecar.cli.crossed import NAME, Scorer, crossed
from sidecar.cli.output import table
from sidecar.cli.search import search_options
from sidecar.cli.session import Session, verb
from sidecar.errors import ChercheError, Code, invalid
from sidecar.types import Mode, QueryMode, RerankStatus, SearchRequest

if TYPE_CHECKING:
    from sidecar.rpc.client import Client

DEPTH = 100
MEASURES = ("ndcg@10", "recall@100", "hits@1", "hits@10")
_PAIRED = "ndcg@10"


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
        return cls(text, known, expansion, bool(plus))


@dataclass(slots=True)
class Trial:
    """What one variant answered: ids by falling rank, seconds, and what became of the reranks."""

    rankings: dict[str, list[str]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)


def existing_file() -> click.Path:
    """A file that must be there, as a path."""
    return click.Path(exists=True, dir_okay=False, path_type=Path)


@verb("eval")
@click.argument("index")
@click.option("--queries", required=True, type=existing_file(), help="JSONL with _id and text.")
@click.option("--qrels", required=True, type=existing_file(), help="Judgements, BEIR's three columns or TREC's four.")
@click.option(
    "--modes",
    default="bm25,sparse,hybrid,hybrid+rerank",
    show_default=True,
    help="MODE[:QUERY_MODE][+rerank], by commas.",
)
@search_options
@click.option("--limit", type=click.IntRange(1), help="Only the first queries.")
@click.option(
    "--cross-encoder", metavar="MODEL", help="Adds a row: the last mode's hits in the order of this cross-encoder."
)
@click.option("--run", "run_folder", type=click.Path(file_okay=False, path_type=Path), help="Write TREC runs here.")
def eval_(
    session: Session,
    index: str,
    queries: Path,
    qrels: Path,
    modes: str,
    query_mode: QueryMode,
    limit: int | None,
    cross_encoder: str | None,
    run_folder: Path | None,
    **options: Any,  # noqa: ANN401  # fields of SearchRequest, checked by click
) -> None:
    """Measure search modes with queries and judgements.

    Queries are JSONL with _id and text, judgements are BEIR's or TREC's. Queries run one after
    another, 100 hits each; latency is the caller's, after one unmeasured search. The modes are
    compared by a paired randomisation test. Fails unless every reranked query came back APPLIED.
    A cross-encoder reads each hit together with the query, here in the caller: no index holds what
    it would need, so its row says what is left to gain, at which latency.
    """
    variants = [Variant.parse(mode, query_mode) for mode in modes.split(",")]
    texts, judgements = read(queries, qrels, limit)
    base = SearchRequest(index=index, text="", size=DEPTH, **options)
    scorer = _scorer(cross_encoder) if cross_encoder else None
    trials = session.run(lambda client: _trials(session, client, base, variants, texts, scorer), index=index)
    report = evaluated(trials, judgements, len(texts))
    if run_folder is not None:
        write_runs(run_folder, trials)
    session.output.data(report, lambda: print_report(report))
    check_applied([variant for variant in variants if variant.rerank], trials)


def _scorer(source: str) -> Scorer:
    from sidecar.models import load_cross_encoder

    return load_cross_encoder(source)


async def _trials(
    session: Session,
    client: Client,
    base: SearchRequest,
    variants: Sequence[Variant],
    texts: Mapping[str, str],
    scorer: Scorer | None,
) -> dict[str, Trial]:
    trials = await measure(session, client, base, variants, texts)
    if scorer is not None:
        last = variants[-1]
        trial = trials[f"{last.name}+{NAME}"] = Trial()
        await crossed(session, client, base, last, texts, scorer, trial)
    return trials


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


def evaluated(trials: Mapping[str, Trial], judgements: Mapping[str, Mapping[str, int]], queries: int) -> dict[str, Any]:
    """Measures and latency of each mode, and each pair of modes compared."""
    from cherche_models.evaluate import compare, per_query, standard_error

    values = {name: per_query(trial.rankings, judgements, MEASURES) for name, trial in trials.items()}
    modes = {
        name: {
            **{measure: round(sum(column.values()) / len(column), 4) for measure, column in columns.items()},
            "standard_error": _rounded(standard_error(columns[_PAIRED].values())),
            "latency_ms": latency(trials[name].seconds),
            "rerank_status": dict(trials[name].statuses),
        }
        for name, columns in values.items()
    }
    significance = [
        {"a": a, "b": b, "measure": _PAIRED, **_paired(asdict(compare(values[a][_PAIRED], values[b][_PAIRED])))}
        for a, b in itertools.combinations(values, 2)
    ]
    return {"queries": queries, "modes": modes, "significance": significance}


def _paired(comparison: Mapping[str, Any]) -> dict[str, Any]:
    """Difference, its error, p-value and counts; the means stand beside each mode."""
    return {key: comparison[key] for key in ("difference", "standard_error", "p_value", "wins", "losses", "ties")}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def latency(seconds: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile, in milliseconds.

    >>> latency([0.001, 0.002, 0.003])
    {'p50': 2.0, 'p95': 2.9}
    """
    import numpy as np

    p50, p95 = np.percentile(np.array(seconds) * 1000, [50, 95])
    return {"p50": round(float(p50), 3), "p95": round(float(p95), 3)}


def print_report(report: Mapping[str, Any]) -> None:
    """Modes as rows; pairs below them."""
    columns = ("mode", *MEASURES, "p50 ms", "p95 ms")
    rows = [
        (name, *(f"{mode[m]:.4f}" for m in MEASURES), *(f"{mode['latency_ms'][p]:.1f}" for p in ("p50", "p95")))
        for name, mode in report["modes"].items()
    ]
    errors = [mode["standard_error"] for mode in report["modes"].values() if mode["standard_error"] is not None]
    chance = f"; standard error of {_PAIRED} up to {max(errors):.3f}" if errors else ""
    table(columns, rows, f"{report['queries']} queries{chance}")
    if report["significance"]:
        pairs = [
            (
                f"{s['b']} − {s['a']}",
                f"{s['difference']:+.4f}",
                error_of(s["standard_error"]),
                shown_p(s["p_value"]),
                s["wins"],
                s["losses"],
            )
            for s in report["significance"]
        ]
        table((_PAIRED, "difference", "±", "p", "wins", "losses"), pairs, "paired randomisation test")


def error_of(value: float | None) -> str:
    """A standard error for reading."""
    return "–" if value is None else f"{value:.4f}"


def shown_p(value: float) -> str:
    """A p-value for reading."""
    return "<0.0001" if value < 0.0001 else f"{value:.4f}"


def write_runs(folder: Path, trials: Mapping[str, Trial]) -> None:
    """One TREC run per mode."""
    from cherche_models.evaluate import write_run

    folder.mkdir(parents=True, exist_ok=True)
    for name, trial in trials.items():
        try:
            write_run(folder / f"{name.replace(':', '-')}.run", trial.rankings, name)
        except ValueError as error:
            raise invalid(f"no run of {name}: {error}", "measure without --run") from error


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
