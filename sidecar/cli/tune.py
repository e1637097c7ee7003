"""``cherche tune``: sparse boost, rerank weight and window, fitted to judged queries or to what people clicked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sidecar.cli.clicks import Clicked, read_log, save_pairs
from sidecar.cli.first_terms import fewest_terms, measured_recall, print_recall, recall_report
from sidecar.cli.idle import option
from sidecar.cli.output import table
from sidecar.cli.session import Session, verb
from sidecar.cli.shadow import print_shadow, shadow_report
from sidecar.cli.trials import (
    Gains,
    Trial,
    Variant,
    check_applied,
    coverage,
    error_of,
    existing_file,
    read,
    shown_p,
)
from sidecar.errors import precondition
from sidecar.values.documents import SEISMIC
from sidecar.values.index import IndexMeta, IndexOptions, retuned

if TYPE_CHECKING:
    from cherche_models.evaluate.tuning import Judged, Setting, Tuned
    from sidecar.client.client import Client

_RERANKED = "hybrid+rerank"


@dataclass(frozen=True, slots=True)
class _Way:
    """How to tune: a gain counts up to `p_value`; what the clicks say is saved, if `save` names a folder.

    First terms are chosen where they keep so much `recall`.
    """

    depth: int
    folds: int
    seed: int
    p_value: float
    dry_run: bool
    clicked: Clicked | None
    save: Path | None
    shadow: Path | None
    recall: float | None = None


@verb("tune")
@click.argument("index")
@option("--queries", of={"qrels": ()}, type=existing_file(), help="JSONL with _id and text.")
@option("--qrels", of={"queries": ()}, type=existing_file(), help="Judgements, BEIR's three columns or TREC's four.")
@click.option(
    "--clicks", type=existing_file(), help="Instead: JSONL of query, shown and clicked ids, or records of UBI."
)
@option(
    "--save",
    of={"clicks": ()},
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Write what the clicks say there: judgements for eval and bakeoff, pairs.jsonl for train.",
)
@click.option(
    "--shadow",
    type=existing_file(),
    metavar="LOG",
    help="A node's log with shadow mode's lines: reports overlap, latency and, by the judgements, the win rate.",
)
@click.option("--depth", type=click.IntRange(10), default=200, show_default=True, help="Hits looked at, per query.")
@click.option("--folds", type=click.IntRange(2), default=5, show_default=True, help="Of the cross-validation.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the folds.")
@click.option("--limit", type=click.IntRange(1), help="Only the first queries.")
@click.option(
    "--recall",
    type=click.FloatRange(0, 1),
    help="Also measure how many first terms keep this share of the best hits of all terms, and choose the fewest.",
)
@click.option("--dry-run", is_flag=True, help="Only report; leave the index's settings as they are.")
def tune(
    session: Session,
    index: str,
    queries: Path | None,
    qrels: Path | None,
    clicks: Path | None,
    save: Path | None,
    shadow: Path | None,
    depth: int,
    folds: int,
    seed: int,
    limit: int | None,
    recall: float | None,
    dry_run: bool,
) -> None:
    """Fit an index's sparse boost, rerank weight and window.

    Searches once per query and ranks its hits anew under each setting, by nDCG@10. The gain that
    is reported is cross-validated: each query is ranked with what the queries of other folds chose.
    The choice is written into the index's settings unless that gain is nothing or less. Use queries
    that you do not measure with afterwards. Also reports the setting before with fusion rrf.

    With --recall each query is also searched with 8, 12, 16 and 24 first terms: the heaviest, which find
    candidates beside BM25 that all terms then score. The fewest that keep that share of the 100 best hits
    of all terms are written, unless searches are no faster for it; measure on an index of its real size.

    With --clicks a document's gain is the excess of its clicks over those that any document gets on the
    ranks where it was shown. Documents that nobody was shown have none, so clicks favour what is in
    use: the choice is written only where the gain is significant (p < 0.05) on at least 50 queries.
    Pairs for training are documents that were chosen beyond their rank, with those that were passed over.

    With --shadow the report also says what the plugin's shadow mode logged: how much both pages have in
    common, how long each took, and on which share of the judged queries the hybrid one is better.
    """
    from sidecar.maintenance.tuning import SIGNIFICANT

    if clicks:
        if queries:
            raise click.UsageError("--clicks makes queries and judgements of its own: leave out --queries and --qrels")
        clicked = read_log(clicks)
        texts, judgements = clicked.first(limit)
        if save:
            clicked.save(save)
    elif queries and qrels:
        clicked = None
        texts, judgements = read(queries, qrels, limit)
    else:
        raise click.UsageError("nothing is judged: give --queries and --qrels, or --clicks")
    p_value = 1.0 if clicked is None else SIGNIFICANT
    way = _Way(depth, folds, seed, p_value, dry_run, clicked, save, shadow, recall)
    report = session.run(lambda client: _tuned(session, client, index, texts, judgements, way), index=index)
    session.output.data(report, lambda: _print(report))


async def _tuned(
    session: Session,
    client: Client,
    index: str,
    texts: Mapping[str, str],
    judgements: Gains,
    way: _Way,
) -> dict[str, Any]:
    from cherche_models.evaluate.tuning import ranks_against_sum
    from sidecar.maintenance import tuning

    meta = (await client.get_index(index)).meta
    if meta is None:
        raise precondition(f"index {index!r} is not set up", f"run: cherche setup {index}")
    if way.recall is not None and meta.weights == SEISMIC:
        raise precondition(f"index {index!r} has {SEISMIC} weights, whose search has no first terms", "drop --recall")
    shadowed = shadow_report(way.shadow, index, texts, judgements, of_clicks=way.clicked is not None)
    if way.clicked and way.save:
        session.output.note(await save_pairs(client, index, meta.fields, way.clicked.log, way.save))
    held = await coverage(session, client, index, judgements)
    judged = await _searched(session, client, index, meta, texts, judgements, way.depth)
    current = tuning.setting_of(meta)
    found = tuning.fit(judged, current, depth=way.depth, folds=way.folds, seed=way.seed, p_value=way.p_value)
    written = found.changes and not way.dry_run
    if written:
        await client.setup_index(index, retuned(meta, **asdict(found.tuned.choice)), dry_run=False)
    return {
        **_report(index, current, found.tuned, len(judged), written),
        "rrf": asdict(ranks_against_sum(judged, current)),
        "judged_documents": asdict(held),
        **({"shadow": shadowed} if shadowed else {}),
        **(await _with_first_terms(session, client, index, texts.values(), way)),
    }


async def _with_first_terms(
    session: Session, client: Client, index: str, texts: Iterable[str], way: _Way
) -> dict[str, Any]:
    """Measured with the settings that were just written; {} where nobody asked."""
    if way.recall is None:
        return {}
    rows = await measured_recall(session, client, index, texts)
    meta, chosen = (await client.get_index(index)).meta, fewest_terms(rows, way.recall)
    written = meta is not None and meta.first_terms != chosen and not way.dry_run
    if meta is not None and written:
        await client.setup_index(index, IndexOptions(prune=meta.prune, first_terms=chosen), dry_run=False)
    return {"first_terms": recall_report(rows, chosen, way.recall, written=written)}


async def _searched(
    session: Session,
    client: Client,
    index: str,
    meta: IndexMeta,
    texts: Mapping[str, str],
    judgements: Gains,
    depth: int,
) -> dict[str, Judged]:
    from sidecar.maintenance import tuning

    trial, judged, progress = Trial(), {}, session.output.progress()
    for done, (query, text) in enumerate(texts.items(), 1):
        result = await client.search(tuning.request(index, text, depth))
        trial.statuses[result.rerank.status] += bool(result.hits)
        judged[query] = tuning.judged(result.hits, judgements[query], meta.sparse_boost)
        progress(f"{done} of {len(texts)} queries")
    progress.close()
    check_applied([Variant.parse(_RERANKED)], {_RERANKED: trial})
    return judged


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
    if "shadow" in report:
        print_shadow(report["shadow"])
    said = "has the choice now" if report["written"] else "keeps what it had"
    click.echo(f"{report['index']} {said}")
    if "first_terms" in report:
        print_recall(report["first_terms"])
