"""``cherche try``: a cluster's own BM25 beside MaxSim over the same hits; nothing is written."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from sidecar.cli.options import flag
from sidecar.cli.output import excerpt, table
from sidecar.cli.session import Session, verb
from sidecar.cli.snippet import text_of
from sidecar.cli.texts import lines_of
from sidecar.errors import invalid
from sidecar.values.index import DEFAULT_WINDOW, IndexOptions
from sidecar.values.options import options
from sidecar.values.search import Hit, SearchRequest
from sidecar.values.trying import TOP, Comparison, summary, try_request

if TYPE_CHECKING:
    from sidecar.client.client import Client


ROWS = options(SearchRequest)


@verb("try", connects=False)
@click.argument("cluster", metavar="URL")
@click.argument("index")
@click.option("--queries", required=True, type=click.File("rb"), help='One query per line; "-" reads stdin.')
@flag(ROWS["fields"], multiple=False, default=None, metavar="NAME,...")
@click.option("--top", type=click.IntRange(1), default=TOP, show_default=True, help="Hits shown side by side.")
@flag(replace(ROWS["rerank_window"], default=DEFAULT_WINDOW), "--window")
@flag(ROWS["rerank_weight"], unset="the model's tuned value")
@flag(options(IndexOptions)["reranker"], unset="the sidecar's default model")
def try_(
    session: Session,
    cluster: str,
    index: str,
    queries: Any,  # noqa: ANN401  # an open binary file
    fields: str | None,
    top: int,
    rerank_window: int,
    rerank_weight: float | None,
    reranker: str,
) -> None:
    """Compare a cluster's BM25 with reranking; writes nothing.

    Takes the cluster's own best hits for each query, reranks them by MaxSim on the fly and prints
    both orders side by side. The index needs no setup.
    """
    texts = read_queries(queries.read(), queries.name)
    asked = replace_target(session, cluster)
    name = asked.model_name(reranker)
    named = tuple(filter(None, (fields or "").split(",")))
    request = try_request(index, model=name, fields=named, top=top, window=rerank_window, weight=rerank_weight)
    comparisons = asked.run(lambda client: _compare(asked, client, request, texts, top), models=(name,))
    report = summary(comparisons)
    asked.output.data(report, lambda: print_report(comparisons, report))


def replace_target(session: Session, url: str) -> Session:
    """A session on this cluster, whatever server the environment names."""
    return replace(session, url=url, engine="opensearch", flags={"server": ""})


def read_queries(data: bytes, name: str) -> list[str]:
    """Queries, one per line.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT where there is none, or the file is not UTF-8.
    """
    texts = [line.strip() for line in lines_of(data, name)]
    if not texts:
        raise invalid(f"{name} holds no query", "write one query per line")
    return texts


async def _compare(
    session: Session, client: Client, request: SearchRequest, texts: Sequence[str], top: int
) -> list[Comparison]:
    progress = session.output.progress()
    comparisons: list[Comparison] = []
    for text in texts:
        progress(f"{len(comparisons)} of {len(texts)} queries")
        comparisons.append(Comparison(text, await client.search(replace(request, text=text)), top))
    progress.close()
    return comparisons


def print_report(comparisons: Sequence[Comparison], report: dict[str, Any]) -> None:
    """Both tops of each query side by side, then the means."""
    width = 30 if sys.stdout.isatty() else 48
    for comparison in comparisons:
        rows = [
            (rank, _name(before, width), _name(after, width), after.parts.first_stage_rank)
            for rank, (before, after) in enumerate(zip(comparison.lexical, comparison.reranked, strict=True), 1)
        ]
        table(("", "BM25", "reranked", "was"), rows, f"{comparison.text} — {comparison.overlap} in both")
    click.echo(
        f"{len(comparisons)} queries: {report['mean_overlap']:g} hits in both tops on average, "
        f"{report['first_hit_changed']} first hits changed, {report['risen']} hits risen from below the top, "
        f"share of MaxSim {report['rerank_weight']:g}"
    )


def _name(hit: Hit, width: int) -> str:
    return excerpt(f"{hit.id} {text_of(hit.source)}", width)
