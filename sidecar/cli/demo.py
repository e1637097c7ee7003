"""``cherche demo``: the whole path on this machine, with text that every Python has."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sidecar.cli.options import flag
from sidecar.cli.output import excerpt, program, table
from sidecar.cli.session import Session, verb
from sidecar.cli.trials import Variant
from sidecar.cli.ui import OPEN, PORT, serve_page
from sidecar.demo.corpus import Entry, standard_library
from sidecar.errors import ChercheError, Code
from sidecar.values.documents import SourceDocument
from sidecar.values.index import IndexOptions
from sidecar.values.options import options
from sidecar.values.search import RerankStatus

if TYPE_CHECKING:
    from cherche_models.evaluate.searches import Search
    from sidecar.client.client import Client

INDEX = "python"
MODES = ("bm25", "sparse", "hybrid", "hybrid+rerank")
DEPTH = 100
SHOWN = 3
"""Searches that are shown with their hits, hits of each, and terms of each hit."""
ENOUGH = 128
"""Documents with which the page of a demo that is kept is worth opening."""
Ranks = dict[str, int | None]
Show = Callable[[], Awaitable[None]]


@verb("demo", connects=False)
@click.option("--model", default="", metavar="PATH|ID", help="Another model than the shipped one.")
@flag(options(IndexOptions)["reranker"])
@click.option("--keep", is_flag=True, help="Keep the index for another time, and open the page on it.")
@PORT
@OPEN
def demo(session: Session, model: str, reranker: str, keep: bool, port: int, no_open: bool) -> None:
    """Feed a real corpus to an embedded engine and search it.

    The corpus is the documentation of Python's standard library on this machine: nothing is
    downloaded, and the index lies in a temporary folder, or with --keep in the user's data folder: the page
    then opens as soon as there is something to find. Prints where each search's known target stands in each mode.
    """
    started = time.monotonic()
    names = session.model_name(model), session.model_name(reranker)
    with _file(keep) as path:
        local = replace(session, flags=_local(path))

        async def work(client: Client, show: Show) -> None:
            report = await _demo(local, client, *names, show)
            report["seconds"] = round(time.monotonic() - started, 1)
            session.output.data(report, lambda: print_report(report))
            session.output.note(next_steps(path if keep else None))

        if keep:
            from cherche_models.evaluate.searches import SEARCHES

            first, opens = SEARCHES[0].text, not no_open
            asyncio.run(
                serve_page(local, local.settings(), INDEX, first, port=port, opens=opens, models=names, work=work)
            )
        else:
            local.run(lambda client: work(client, _nothing), models=names)


async def _nothing() -> None:
    """No page to show."""


@contextmanager
def _file(keep: bool) -> Iterator[Path]:
    """Where the index lies: beside the user's own, or in a folder that is gone afterwards."""
    if keep:
        from sidecar import config

        yield config.default_embedded_path().with_name("demo.sqlite")
        return
    with tempfile.TemporaryDirectory(prefix="cherche-demo-") as folder:
        yield Path(folder) / "index.sqlite"


def _local(path: Path) -> dict[str, Any]:
    """Settings of a sidecar of its own, whatever the environment names."""
    from sidecar import config

    return {
        "server": "",
        "engine": "embedded",
        "embedded": {"path": path},
        "models": {config.SHIPPED: config.shipped_model()},
        "model": config.SHIPPED,
    }


async def _demo(session: Session, client: Client, model: str, reranker: str, show: Show) -> dict[str, Any]:
    from cherche_models.evaluate.searches import FURTHER, SEARCHES

    entries = await asyncio.to_thread(standard_library)
    session.output.note(f"{len(entries):,} entries of Python's own documentation")
    await client.setup_index(INDEX, IndexOptions(model=model, reranker=reranker))
    fed = await _feed(session, client, _first(entries, SEARCHES[0]), show)
    session.output.note(
        f"fed in {fed['seconds']:.1f} s: {fed['documents_per_second']:.0f} documents/s, "
        f"{fed['terms_per_document']:.0f} terms/document"
    )
    known = {entry.id for entry in entries}
    searches = [await _search(client, search, known) for search in SEARCHES]
    further = [await _search(client, search, known) for search in FURTHER]
    shown = [await _shown(client, search.text) for search in SEARCHES[:SHOWN]]
    return {
        "documents": len(entries),
        "feed": fed,
        "searches": searches,
        "further": further,
        "in_top_3": {"searches": in_top_3(searches), "further": in_top_3(further)},
        "shown": shown,
    }


def _first(entries: Sequence[Entry], search: Search) -> list[Entry]:
    """The entries of the modules that a search is about, then the others: the page opens on it before all are in."""
    modules = {target.partition(".")[0] for target in search.targets}
    return sorted(entries, key=lambda entry: entry.id.partition(".")[0] not in modules)


async def _feed(session: Session, client: Client, entries: Sequence[Entry], show: Show) -> dict[str, float]:
    started, terms, done = time.monotonic(), 0, 0
    progress = session.output.progress()
    async for result in client.index_documents(INDEX, _documents(entries)):
        if result.error is not None:
            raise result.error
        terms, done = terms + result.terms, done + 1
        if done == min(ENOUGH, len(entries)):
            await show()
        progress(f"{done:,} of {len(entries):,} documents")
    progress.close()
    seconds = time.monotonic() - started
    return {
        "seconds": round(seconds, 2),
        "documents_per_second": round(done / seconds, 1),
        "terms_per_document": round(terms / done, 1),
    }


async def _documents(entries: Sequence[Entry]) -> AsyncIterator[SourceDocument]:
    for entry in entries:
        yield SourceDocument(entry.id, entry.to_bytes())


async def _search(client: Client, search: Search, known: set[str]) -> dict[str, Any]:
    if not known & set(search.targets):
        raise ChercheError(Code.INTERNAL, f"this Python documents none of {', '.join(search.targets)}")
    ranks: Ranks = {}
    for mode in MODES:
        variant = Variant.parse(mode)
        result = await client.search(variant.request(INDEX, search.text, size=DEPTH))
        if variant.rerank and result.rerank.status != RerankStatus.APPLIED:
            raise ChercheError(Code.INTERNAL, f"no rerank: {result.rerank.status} {result.rerank.reason}")
        ranks[mode] = next((hit.rank for hit in result.hits if hit.id in search.targets), None)
    return {"search": search.text, "target": search.targets[0], "ranks": ranks}


async def _shown(client: Client, text: str) -> dict[str, Any]:
    """The first hits of the whole flow: the terms that weigh most in them, and where BM25 alone has them."""
    whole, plain = Variant.parse("hybrid+rerank"), Variant.parse("bm25")
    result, explanations = await client.explain(whole.request(INDEX, text, size=SHOWN))
    alone = await client.search(plain.request(INDEX, text, size=DEPTH))
    ranks = {hit.id: hit.rank for hit in alone.hits}
    hits = []
    for hit, explanation in zip(result.hits, explanations, strict=True):
        terms = sorted(explanation.terms, key=lambda term: -term.contribution)[:SHOWN]
        hits.append(
            {
                "id": hit.id,
                "text": hit.source["text"],
                "terms": {term.token: round(term.contribution, 2) for term in terms},
                "bm25": ranks.get(hit.id),
            }
        )
    return {"search": text, "hits": hits}


def in_top_3(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Searches whose target is among the first three hits, by mode.

    >>> in_top_3([{"ranks": {"bm25": 4, "sparse": None, "hybrid": 3, "hybrid+rerank": 1}}])
    {'bm25': 0, 'sparse': 0, 'hybrid': 1, 'hybrid+rerank': 1}
    """
    return {mode: sum((row["ranks"][mode] or DEPTH + 1) <= 3 for row in rows) for mode in MODES}


def print_report(report: dict[str, Any]) -> None:
    """Three searches with their hits, then the rank of each target in each mode; "–" is below the hundredth."""
    for shown in report["shown"]:
        _print_hits(shown)
    for title, name in (("rank of the target", "searches"), ("searches not used for any choice", "further")):
        rows: list[tuple[object, ...]] = [
            (row["search"], row["target"], *(row["ranks"][mode] or "–" for mode in MODES)) for row in report[name]
        ]
        found = report["in_top_3"][name]
        rows.append((f"in the top 3, of {len(report[name])}", "", *(found[mode] for mode in MODES)))
        table(("search", "target", *MODES), rows, title)
    click.echo(f"\n{report['documents']:,} documents, {report['seconds']:.0f} s in all.")


def _print_hits(shown: dict[str, Any]) -> None:
    click.echo(shown["search"])
    for rank, hit in enumerate(shown["hits"], 1):
        terms = ", ".join(f"{token} {weight:g}" for token, weight in hit["terms"].items()) or "none"
        alone = f"on rank {hit['bm25']}" if hit["bm25"] else f"not among the first {DEPTH}"
        click.echo(f"  {rank}. {hit['id']}: {excerpt(hit['text'])}")
        click.echo(f"     terms: {terms}; with BM25 alone {alone}")
    click.echo()


def next_steps(kept: Path | None) -> str:
    """What to do after the demo, as it is typed here.

    Parameters
    ----------
    kept : Path or None
        Where the index lies, if it was kept.
    """
    run = program()
    where = (
        f"The index is kept in {kept}" if kept else f"The index is gone; to keep it and open a page: {run} demo --keep"
    )
    return f"""{where}
Beside a cluster of yours, changing nothing: {run} try URL INDEX --queries FILE
All commands: {run} --help"""
