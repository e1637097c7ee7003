"""``cherche bakeoff``: models measured beside each other on the judged queries of an index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sidecar.cli.bakeoff_report import print_report, reported
from sidecar.cli.bakeoff_run import Bench, Entry, JudgedSet
from sidecar.cli.options import flag
from sidecar.cli.sample import MOST, documents_of, read_sample
from sidecar.cli.session import Session, is_path, verb
from sidecar.cli.trials import Judgements, existing_file, read
from sidecar.errors import precondition
from sidecar.maintenance.bakeoff import BM25, Corpus, Options
from sidecar.values.index import DEFAULT_WINDOW
from sidecar.values.options import options
from sidecar.values.search import SearchRequest

if TYPE_CHECKING:
    from sidecar.client.client import Client

ROWS = options(SearchRequest)


@verb("bakeoff")
@click.argument("index")
@click.argument("more", metavar="[MODEL]...", nargs=-1)
@click.option(
    "--models",
    multiple=True,
    metavar="PATH|NAME|ID",
    help="Models to measure: --models A B C, or --models A --models B.",
)
@click.option("--queries", required=True, type=existing_file(), help="JSONL with _id and text.")
@click.option("--qrels", required=True, type=existing_file(), help="Judgements, BEIR's three columns or TREC's four.")
@click.option(
    "--sample",
    type=click.IntRange(0, MOST),
    default=2000,
    show_default=True,
    help="Documents of the index scored beside the judged ones.",
)
@flag(ROWS["fields"], multiple=False, default=None, metavar="NAME,...", unset="those of the index")
@click.option(
    "--baseline", metavar="MODEL", help=f"What others are compared with: a model, or {BM25}.  [default: the first]"
)
@click.option("--limit", type=click.IntRange(1), help="Only the first queries.")
@click.option(
    "--window", type=click.IntRange(1, 1000), default=DEFAULT_WINDOW, show_default=True, help="Hits reranked."
)
@flag(ROWS["sparse_boost"], unset="each model's tuned value")
@flag(ROWS["rerank_weight"], unset="each model's tuned value")
@click.option("--price-per-core-hour", type=click.FloatRange(0), help="Adds the cost of encoding a million documents.")
def bakeoff(
    session: Session,
    index: str,
    more: tuple[str, ...],
    models: tuple[str, ...],
    queries: Path,
    qrels: Path,
    sample: int,
    fields: str | None,
    baseline: str | None,
    limit: int | None,
    window: int,
    sparse_boost: float | None,
    rerank_weight: float | None,
    price_per_core_hour: float | None,
) -> None:
    """Measure models beside each other on judged queries; writes nothing.

    Models are whatever loads: SPLADE, SparseEmbed, ColBERT and joint models, any sentence encoder as
    a ColBERT without training, and cross-encoders. The judged documents and a sample of the others
    are read from the index, encoded here as a new index stores them, one model after another, and
    scored in memory: BM25, with the model's term weights (hybrid), and reranked by it. A model
    without term weights, or a cross-encoder, reranks the hits of the first model that has them, else
    BM25's. A model that cannot be loaded or run is a row with its reason.

    The last stage of each model is compared with the baseline's by a paired randomisation test.
    Few documents compete in a sample, so its figures are higher than those of the whole index:
    compare the rows, and measure the winner with `cherche eval`.
    """
    entries = _entries(session, [*models, *more])
    base = entries[0].name if baseline is None else _named(baseline, entries)
    texts, judgements = read(queries, qrels, limit)
    names = tuple(filter(None, (fields or "").split(",")))
    found = session.run(lambda client: _read(client, index, texts, judgements, sample, names))
    found.held.warn(session.output, index)
    from sidecar.models.library import lexical_index, load_candidate

    bench = Bench(
        session,
        found,
        lexical_index(found.corpus.documents),
        Options(window, sparse_boost, rerank_weight),
        load_candidate,
    )
    bm25 = bench.first.rankings
    bench.run(entries)
    report = reported(index, found, entries, bm25, base, window, price_per_core_hour)
    for warning in report["warnings"]:
        session.output.note(f"note: {warning}")
    session.output.data(report, lambda: print_report(report))
    if all(entry.error for entry in entries):
        raise precondition("no model could be measured", "see the reasons above")


def _entries(session: Session, given: Sequence[str]) -> list[Entry]:
    if not given:
        raise click.UsageError("no model is named: give --models PATH|NAME|ID...")
    served = session.settings().served_models
    short = [Path(source).name if is_path(source) else source for source in given]
    entries = []
    for name, source in zip(short, given, strict=True):
        if given.count(source) > 1:
            raise click.UsageError(f"model {source!r} is named twice")
        path = str(Path(source).expanduser().resolve()) if is_path(source) else str(served.get(source, source))
        entries.append(Entry(name if short.count(name) == 1 else source, path))
    return entries


def _named(baseline: str, entries: Sequence[Entry]) -> str:
    for entry in entries:
        if baseline in (entry.name, entry.source) or (
            is_path(baseline) and Path(baseline).resolve() == Path(entry.source)
        ):
            return entry.name
    if baseline != BM25:
        raise click.UsageError(f"the baseline {baseline!r} is neither {BM25} nor one of the models")
    return BM25


async def _read(
    client: Client, index: str, texts: Mapping[str, str], judgements: Judgements, sample: int, names: Sequence[str]
) -> JudgedSet:
    found = await read_sample(client, index, names, judged=documents_of(judgements), sample=sample)
    corpus = Corpus(found.documents, texts)
    return JudgedSet(corpus, judgements, found.report.stats.documents, found.without_text, found.held)
