"""``cherche tune``: sparse boost, rerank weight and window, fitted to judged queries."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sidecar.cli.output import table
from sidecar.cli.session import Session, verb
from sidecar.cli.trials import Trial, Variant, check_applied, coverage, error_of, existing_file, read, shown_p
from sidecar.errors import invalid, precondition
from sidecar.values.index import IndexMeta, retuned
from sidecar.values.search import Hit, SearchRequest

if TYPE_CHECKING:
    from cherche_models.evaluate.tuning import Judged, Setting, Tuned
    from sidecar.client.client import Client

_RERANKED = "hybrid+rerank"


@verb("tune")
@click.argument("index")
@click.option("--queries", required=True, type=existing_file(), help="JSONL with _id and text.")
@click.option("--qrels", required=True, type=existing_file(), help="Judgements, BEIR's three columns or TREC's four.")
@click.option("--depth", type=click.IntRange(10), default=200, show_default=True, help="Hits looked at, per query.")
@click.option("--folds", type=click.IntRange(2), default=5, show_default=True, help="Of the cross-validation.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the folds.")
@click.option("--limit", type=click.IntRange(1), help="Only the first queries.")
@click.option("--dry-run", is_flag=True, help="Only report; leave the index's settings as they are.")
def tune(
    session: Session,
    index: str,
    queries: Path,
    qrels: Path,
    depth: int,
    folds: int,
    seed: int,
    limit: int | None,
    dry_run: bool,
) -> None:
    """Fit an index's sparse boost, rerank weight and window.

    Searches once per query and ranks its hits anew under each setting, by nDCG@10. The gain that
    is reported is cross-validated: each query is ranked with what the queries of other folds chose.
    The choice is written into the index's settings unless that gain is nothing or less. Use queries
    that you do not measure with afterwards. Also reports the setting before with fusion rrf.
    """
    texts, judgements = read(queries, qrels, limit)
    report = session.run(
        lambda client: _tuned(session, client, index, texts, judgements, depth, folds, seed, dry_run), index=index
    )
    session.output.data(report, lambda: _print(report))


async def _tuned(
    session: Session,
    client: Client,
    index: str,
    texts: Mapping[str, str],
    judgements: Mapping[str, Mapping[str, int]],
    depth: int,
    folds: int,
    seed: int,
    dry_run: bool,
) -> dict[str, Any]:
    from cherche_models.evaluate import tuning

    meta = (await client.get_index(index)).meta
    if meta is None:
        raise precondition(f"index {index!r} is not set up", f"run: cherche setup {index}")
    held = await coverage(session, client, index, judgements)
    judged = await _searched(session, client, index, meta, texts, judgements, depth)
    current = tuning.Setting(meta.sparse_boost, meta.rerank_weight, meta.rerank_window)
    windows = [window for window in tuning.WINDOWS if window <= depth]
    settings = tuning.grid(current, windows=windows)
    try:
        tuned = tuning.tune(judged, current, settings, folds=folds, seed=seed)
    except ValueError as error:
        raise invalid(str(error), "give more judged queries, or fewer folds") from error
    written = tuned.held_out.difference > 0 and tuned.choice != current and not dry_run
    if written:
        await client.setup_index(index, retuned(meta, **asdict(tuned.choice)), dry_run=False)
    report = _report(index, current, tuned, len(judged), written)
    return {
        **report,
        "rrf": asdict(tuning.ranks_against_sum(judged, current)),
        "judged_documents": asdict(held),
    }


async def _searched(
    session: Session,
    client: Client,
    index: str,
    meta: IndexMeta,
    texts: Mapping[str, str],
    judgements: Mapping[str, Mapping[str, int]],
    depth: int,
) -> dict[str, Judged]:
    base = SearchRequest(index, "", mode="hybrid", rerank=True, rerank_window=depth, size=depth)
    trial, judged, progress = Trial(), {}, session.output.progress()
    for done, (query, text) in enumerate(texts.items(), 1):
        result = await client.search(replace(base, text=text))
        trial.statuses[result.rerank.status] += bool(result.hits)
        judged[query] = _judged(result.hits, judgements[query], meta.sparse_boost)
        progress(f"{done} of {len(texts)} queries")
    progress.close()
    check_applied([Variant.parse(_RERANKED)], {_RERANKED: trial})
    return judged


def _judged(hits: Sequence[Hit], judgements: Mapping[str, int], boost: float) -> Judged:
    import numpy as np

    from cherche_models.evaluate.tuning import Judged, ideal_dcg

    return Judged(
        [hit.id for hit in hits],
        np.array([hit.parts.lexical or 0.0 for hit in hits], np.float64),
        np.array([(hit.parts.sparse or 0.0) / boost for hit in hits], np.float64),
        np.array([-math.inf if hit.parts.maxsim is None else hit.parts.maxsim for hit in hits], np.float64),
        np.array([max(0, judgements.get(hit.id, 0)) for hit in hits], np.float64),
        ideal_dcg(judgements),
    )


def _report(index: str, current: Setting, tuned: Tuned, queries: int, written: bool) -> dict[str, Any]:
    return {
        "index": index,
        "queries": queries,
        "before": asdict(current),
        "choice": asdict(tuned.choice),
        "folds": [asdict(one) for one in tuned.folds],
        "held_out": asdict(tuned.held_out),
        "written": written,
    }


def _print(report: Mapping[str, Any]) -> None:
    names = ("sparse_boost", "rerank_weight", "rerank_window")
    rows = [("before", report["before"]), ("choice", report["choice"])]
    rows += [(f"fold {number}", one) for number, one in enumerate(report["folds"], 1)]
    table(("", *names), [(title, *(one[name] for name in names)) for title, one in rows])
    found = report["held_out"]
    click.echo(
        f"nDCG@10 on {report['queries']} queries, held out: {found['a']:.4f} before, {found['b']:.4f} chosen so; "
        f"{found['difference']:+.4f} ± {error_of(found['standard_error'])}, p {shown_p(found['p_value'])}"
    )
    ranks = report["rrf"]
    click.echo(
        f"nDCG@10 by fusion rrf instead of the sum: {ranks['b']:.4f}; {ranks['difference']:+.4f} "
        f"± {error_of(ranks['standard_error'])}, p {shown_p(ranks['p_value'])}"
    )
    said = "has the choice now" if report["written"] else "keeps what it had"
    click.echo(f"{report['index']} {said}")
