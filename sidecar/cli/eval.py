"""``cherche eval``: search modes measured on queries with judgements."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sidecar.cli.cross_encoder import NAME, Scorer, rerank_trial
from sidecar.cli.idle import is_given
from sidecar.cli.options import offered
from sidecar.cli.output import table
from sidecar.cli.session import Session, verb
from sidecar.errors import invalid
from sidecar.values.options import options
from sidecar.values.search import QueryMode, SearchRequest

if TYPE_CHECKING:
    from sidecar.client.client import Client
from sidecar.cli.trials import (
    DEPTH,
    Coverage,
    Judgements,
    Trial,
    Variant,
    check_applied,
    coverage,
    error_of,
    existing_file,
    latency,
    measure,
    read,
    shown_p,
)

MEASURES = ("ndcg@10", "recall@100", "hits@1", "hits@10")
_PAIRED = "ndcg@10"


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
@offered((row for row in options(SearchRequest).values() if row.tunes), of={})
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
    **given: Any,  # noqa: ANN401  # fields of SearchRequest, checked by click
) -> None:
    """Measure search modes with queries and judgements.

    Queries are JSONL with _id and text, judgements are BEIR's or TREC's. Queries run one after
    another, 100 hits each; latency is the caller's, after one unmeasured search. The modes are
    compared by a paired randomisation test. Fails unless every reranked query came back APPLIED.
    A cross-encoder reads each hit together with the query, here in the caller: no index holds what
    it would need, so its row says what is left to gain, at which latency.
    """
    variants = [Variant.parse(mode, query_mode) for mode in modes.split(",")]
    _refuse_idle(modes, variants, given)
    texts, judgements = read(queries, qrels, limit)
    named = session.model_name(given["reranker"])
    base = SearchRequest(index=index, text="", size=DEPTH, **given | {"reranker": named})
    scorer = _scorer(cross_encoder) if cross_encoder else None
    trials, held = session.run(
        lambda client: _trials(session, client, base, variants, texts, judgements, scorer),
        index=index,
        models=(named,),
    )
    report = {**evaluated(trials, judgements, len(texts)), "judged_documents": asdict(held)}
    if run_folder is not None:
        write_runs(run_folder, trials)
    session.output.data(report, lambda: print_report(report))
    check_applied([variant for variant in variants if variant.rerank], trials)


def _refuse_idle(modes: str, variants: Sequence[Variant], given: Mapping[str, Any]) -> None:
    """Refuse an option on the command line that none of the modes uses.

    Raises
    ------
    click.UsageError
        Naming it.
    """
    context = click.get_current_context()
    for row in options(SearchRequest).values():
        if row.tunes and is_given(context, row.name):
            using = [
                one for one in variants if not (one.idle(row, given) or (row.name == "query_mode" and ":" in one.name))
            ]
            if not using:
                raise click.UsageError(f"--{row.name.replace('_', '-')} does nothing in --modes {modes}")


def _scorer(source: str) -> Scorer:
    from sidecar.models.library import load_cross_encoder

    return load_cross_encoder(source)


async def _trials(
    session: Session,
    client: Client,
    base: SearchRequest,
    variants: Sequence[Variant],
    texts: Mapping[str, str],
    judgements: Judgements,
    scorer: Scorer | None,
) -> tuple[dict[str, Trial], Coverage]:
    held = await coverage(session, client, base.index, judgements)
    trials = await measure(session, client, base, variants, texts)
    if scorer is not None:
        last = variants[-1]
        trial = trials[f"{last.name}+{NAME}"] = Trial()
        await rerank_trial(session, client, base, last, texts, scorer, trial)
    return trials, held


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


def write_runs(folder: Path, trials: Mapping[str, Trial]) -> None:
    """One TREC run per mode."""
    from cherche_models.evaluate import write_run

    folder.mkdir(parents=True, exist_ok=True)
    for name, trial in trials.items():
        try:
            write_run(folder / f"{name.replace(':', '-')}.run", trial.rankings, name)
        except ValueError as error:
            raise invalid(f"no run of {name}: {error}", "measure without --run") from error
