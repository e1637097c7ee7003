"""From sources to a folder: fetch, parse, gather, write, and say in a manifest what it is made of."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cherche_models.evaluate.searches import Search
from cherche_models.train.corpus.archive import Archive
from cherche_models.train.corpus.base import Package, Source
from cherche_models.train.corpus.build import Gathered, Gatherer, Limits, Screened, screen, write
from cherche_models.train.corpus.clients import FetchError
from cherche_models.train.corpus.exclusions import Exclusions, of_searches
from cherche_models.train.corpus.parallel import spread

Fetch = Callable[[Package], Archive]
Note = Callable[[str], None]


def build(
    out: Path,
    sources: Sequence[Source],
    fetch: Fetch,
    limits: Limits,
    searches: Sequence[Search],
    note: Note,
    *,
    jobs: int = 1,
    strict: bool = False,
) -> dict[str, Any]:
    """Write a mixture and its ``manifest.json``, which is returned.

    Parameters
    ----------
    out : Path
        Created.
    sources : sequence of Source
        A source with a package that cannot be fetched is skipped, and the manifest says so.
    fetch : callable
    limits : Limits
    searches : sequence of Search
        Their texts, and the documents that answer them, are left out.
    note : callable
        Takes messages on progress.
    jobs : int
        Processes; the result is the same for any number.
    strict : bool
        Whether a source that cannot be fetched is an error.

    Raises
    ------
    FetchError
        If a source cannot be fetched and `strict` is set.
    ValueError
        If no source is left.
    """
    archives: dict[str, dict[str, Archive]] = {}
    skipped: dict[str, str] = {}
    for source in sources:
        try:
            archives[source.name] = {package.name: fetch(package) for package in source.packages}
        except FetchError as error:
            if strict:
                raise
            note(f"without {source.name}: {error}")
            skipped[source.name] = str(error)
    used = [source for source in sources if source.name in archives]
    if not used:
        raise ValueError("no source is left — see the messages above, or choose other sources")
    exclusions = of_searches(searches)
    gatherer = Gatherer()
    tasks = [(source, archives[source.name], exclusions) for source in used]
    for source, documents in zip(used, spread(_parse, tasks, jobs), strict=True):
        gatherer.add(source, documents)
        note(f"{source.name}: {len(documents):,} documents")
    gathered = gatherer.finish()
    counts = write(gathered, out, limits, exclusions, jobs)
    manifest = {
        "sources": {source.name: _about(source, archives[source.name], gathered) for source in used},
        "skipped": skipped,
        "fields": counts,
        "limits": {name: getattr(limits, name) for name in Limits.__dataclass_fields__},
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return manifest


def _parse(task: tuple[Source, dict[str, Archive], Exclusions]) -> list[Screened]:
    source, archives, exclusions = task
    return screen(source.documents(archives), exclusions)


def _about(source: Source, archives: dict[str, Archive], gathered: Gathered) -> dict[str, Any]:
    field = gathered.fields[source.field]
    return {
        "field": source.field,
        "licence": source.licence,
        "packages": {
            package.name: {"client": package.client, "version": archives[package.name].version}
            for package in source.packages
        },
        "documents": sum(name == source.name for name, _ in field.training),
        "held_out": sum(name == source.name for name, _ in field.held_out),
        "dropped": dict(gathered.dropped[source.name]),
    }
