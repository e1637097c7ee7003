"""The life of a messy index beside cherche: setup, backfill, search, upgrade, rollback, remove; every count checked.

One implementation for every size: `live` is the end-to-end test and the section of ``make prove``.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from cherche_models import hub
from sidecar.client.client import Client
from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.models.library import load_model
from sidecar.testing import running_server
from sidecar.values.documents import SourceDocument
from sidecar.values.index import IndexOptions, TextField
from sidecar.values.maintenance import BackfillOptions, NotDone, Progress, Switched
from tests.messy import index as own
from tests.messy.checks import same, searched
from tests.messy.documents import Document, Json, Key, documents, dumps, rounded
from tests.messy.index import Cluster, Kept, Names, through_pipelines
from tests.messy.writers import Writers

MODEL = "cherche-tiny"
FIELDS = ("title", "text")
MORE_FIELDS = ("title", "text", "notes")
_QUIET = BackfillOptions(search_slowdown=0.0)
_FED = 60
Counts = dict[str, Any]


@dataclass(slots=True)
class Life:
    """One index, what it must hold, and what was counted.

    Attributes
    ----------
    ledger : dict
        Every document as the index must hold it.
    versions : dict
        Of every document, as they were read last.
    before : dict
        Aliases, mapping and settings before setup.
    """

    cluster: Cluster
    names: Names
    client: Client
    made: Sequence[Document]
    ledger: dict[Key, Json]
    writers: Writers
    versions: dict[Key, int] = field(default_factory=dict)
    before: Json = field(default_factory=dict)
    serving: str = ""

    async def holds(self, fields: tuple[str, ...] = (), *, too_large: str | None = None) -> dict[Key, Kept]:
        """Documents, sources and states are what they must be.

        Parameters
        ----------
        fields : tuple of str
            Those that are encoded; none where none are.
        too_large : str or None
            State of the documents that cannot be encoded.
        """
        kept = await self.cluster.kept(self.serving)
        same("documents", {key: one.source for key, one in kept.items()}, self.ledger)
        wanted = self.states(fields) if fields else dict.fromkeys(self.ledger)
        wanted |= dict.fromkeys(self.too_large, too_large)
        same("states", {key: one.state for key, one in kept.items()}, wanted)
        if not fields:
            same("documents with fields of ours", sum(one.has_own for one in kept.values()), 0)
        return kept

    def states(self, fields: tuple[str, ...]) -> dict[Key, str | None]:
        """What a backfill makes of each document."""
        too_large = {one.key for one in self.made if one.is_too_large}
        texted = {key: any(has_text(source.get(name)) for name in fields) for key, source in self.ledger.items()}
        return {key: "no_text" if not texted[key] else None if key in too_large else "ok" for key in self.ledger}

    def rose(self, kept: Mapping[Key, Kept], by: int, *, but: frozenset[Key] = frozenset()) -> int:
        """How many documents that nobody else wrote have a version so much higher; all must, but for some."""
        untouched = (self.versions.keys() & kept.keys()) - self.writers.touched - but
        rises = {key: kept[key].version - self.versions[key] for key in untouched}
        same("rise of versions", rises, dict.fromkeys(untouched, by))
        self.versions = {key: one.version for key, one in kept.items()}
        return len(untouched)

    @property
    def too_large(self) -> frozenset[Key]:
        """Documents that are there and beyond the sidecar's limit."""
        return frozenset(one.key for one in self.made if one.is_too_large and one.key in self.ledger)

    async def report(self, fields: tuple[str, ...]) -> Counts:
        """What cherche says of the index is what it holds."""
        report = await self.client.get_index(self.names.alias)
        states = Counter(str(state) for state in self.states(fields).values())
        same("documents", report.stats.documents, len(self.ledger))
        same("encoded", report.stats.encoded, states["ok"])
        return {"documents": len(self.ledger), "states": dict(states)}

    async def is_described(self) -> int:
        """Aliases with filter and routing, mapping and settings are those of before; how many aliases."""
        now = await own.described(self.cluster, self.serving)
        same("aliases", now["aliases"], self.before["aliases"])
        same("mapping", now["mappings"]["properties"], self.before["mappings"]["properties"])
        same("settings", now["settings"], self.before["settings"])
        return len(now["aliases"])


def has_text(value: Any) -> bool:
    """Whether a field's value holds any."""
    if isinstance(value, list):
        return any(map(has_text, value))
    return value is not None and (not isinstance(value, str) or bool(value.strip()))


async def live(url: str, count: int) -> dict[str, Counts]:
    """Lead an index of so many documents through its whole life; what was counted, by stage.

    Raises
    ------
    AssertionError
        Where anything is not as it must be.
    """
    cluster, names, made = Cluster(url), Names(f"messy-{uuid4().hex[:8]}"), documents(count)
    engine = OpenSearchEngine.connect(url)
    counted: dict[str, Counts] = {}
    try:
        async with running_server(engine, [load_model(MODEL, hub.PRETRAINED / MODEL)]) as server:
            ledger: dict[Key, Json] = {}
            writers = Writers(cluster, names, made, ledger)
            life = Life(cluster, names, server.client, made, ledger, writers, serving=names.index)
            for stage in (owned, set_up, filled, found, fed, upgraded, rolled_back, removed):
                began = time.monotonic()
                writers.begin()
                counts = await stage(life)
                others = {"written by others": dict(writers.done)} if writers.done else {}
                counted[stage.__name__] = {**counts, **others, "seconds": round(time.monotonic() - began, 1)}
                print(stage.__name__, json.dumps(counted[stage.__name__]), flush=True)
    finally:
        await engine.aclose()
        await own.delete(cluster, names)
    return counted


async def owned(life: Life) -> Counts:
    """The index before cherche: half of it older than its owner's pipelines."""
    await own.create(life.cluster, life.names)
    half, refused = len(life.made) // 2, 0
    for part, is_piped in ((life.made[:half], False), (life.made[half:], True)):
        if is_piped:
            await own.begin_pipelines(life.cluster, life.names)
        answers = await life.cluster.bulk(life.names.index, (("create", one.key, one.source) for one in part))
        for one, answer in zip(part, answers, strict=True):
            # Two documents of one id that their routings bring to the same shard are one.
            if answer["status"] == 409:
                refused += 1
                continue
            assert answer["status"] == 201, answer
            life.ledger[one.key] = through_pipelines(one.source) if is_piped else one.source
    kept = await life.holds()
    life.versions = {key: one.version for key, one in kept.items()}
    life.before = await own.described(life.cluster, life.names.index)
    ids = Counter(id for id, _ in life.ledger)
    return {
        "documents": len(life.ledger),
        "one id in two shards": sum(times > 1 for times in ids.values()),
        "odd ids": sum(not id.isalnum() for id in ids),
        "with a routing": sum(bool(routing) for _, routing in life.ledger),
        "too large": len(life.too_large),
        "scripts": dict(Counter(source["script"] for source in life.ledger.values())),
        "aliases": len(life.before["aliases"]),
    }


async def set_up(life: Life) -> Counts:
    """Setup changes the mapping alone."""
    done = await life.client.setup_index(life.names.alias, options(FIELDS))
    kept = await life.holds()
    life.rose(kept, 0)
    await life.is_described()
    return {"documents": len(kept), "warnings": len(done.warnings)}


async def filled(life: Life) -> Counts:
    """Backfill while others write; then once more when they are done, and a third time for nothing."""
    runs = []
    async with life.writers.writing():
        runs.append(await backfill(life))
    runs.append(await backfill(life))
    # An update makes doubles of all numbers with a fraction, as it does for every client.
    digits = sum(rounded(source) != source for source in life.ledger.values())
    life.ledger.update({key: rounded(source) for key, source in life.ledger.items()})
    kept = await life.holds(FIELDS)
    risen = life.rose(kept, 1, but=life.too_large)
    again = await backfill(life)
    runs.append(again)
    same("encoded again", (again["encoded"], again["skipped"], again["conflicts"]), (0, 0, 0))
    life.writers.begin_again()
    life.rose(await life.holds(FIELDS), 0)
    await life.is_described()
    for run in runs:
        same("documents that are too large", run["failed"], len(life.too_large))
    return {**await life.report(FIELDS), "runs": runs, "versions that rose by one": risen, "numbers rounded": digits}


async def found(life: Life) -> Counts:
    """Searches with filters and facets, by every way in."""
    return await searched(life.cluster, life.client, life.names, life.ledger, life.serving)


async def fed(life: Life) -> Counts:
    """A feed of documents as they are, then of changed ones; it is a client like others, so the pipelines run."""
    alone = Counter(id for id, _ in life.ledger)
    large = life.too_large
    chosen = [key for key in life.ledger if alone[key[0]] == 1 and key not in large][
        :: max(1, len(life.ledger) // _FED)
    ]
    outcomes = await feed(life, [(key, life.ledger[key]) for key in chosen])
    same("outcomes", outcomes, dict.fromkeys(chosen, "unchanged"))
    kinds = ({"year": 1066}, {"text": "rewritten"})
    changes = {key: {**life.ledger[key], **kinds[n % 2]} for n, key in enumerate(chosen)}
    changed = await feed(life, list(changes.items()))
    for key, source in changes.items():
        life.ledger[key] = through_pipelines(source)
        life.writers.touched.add(key)
    life.rose(await life.holds(FIELDS), 0)
    return {"unchanged": len(chosen), "changed": dict(Counter(changed.values())), **await life.report(FIELDS)}


async def upgraded(life: Life) -> Counts:
    """Another field is encoded, in an index of its own that takes the place of the first, while others write."""
    async with life.writers.writing():
        prepared = await step(life, "prepare", options(MORE_FIELDS))
    async with life.writers.writing(deleting=False):
        switched = await step(life, "switch")
    [life.serving] = switched["serving"]
    after = await backfill(life)
    kept = await life.holds(MORE_FIELDS, too_large="failed")
    life.versions = {key: one.version for key, one in kept.items()}
    aliases = await life.is_described()
    searches = await found(life)
    return {"prepared": prepared, "switched": switched, "backfill": after, "aliases": aliases, "searches": searches}


async def rolled_back(life: Life) -> Counts:
    """The first index serves again, with all that was written since."""
    async with life.writers.writing(deleting=False):
        back = await step(life, "rollback")
    [life.serving] = back["serving"]
    same("serving", life.serving, life.names.index)
    after = await backfill(life)
    await life.holds(FIELDS)
    aliases = await life.is_described()
    return {"rollback": back, "backfill": after, "aliases": aliases, **await life.report(FIELDS)}


async def removed(life: Life) -> Counts:
    """Nothing of cherche is left but what it names."""
    kept = await life.holds(FIELDS)
    life.versions = {key: one.version for key, one in kept.items()}
    planned = await life.client.remove_index(life.names.alias, dry_run=True)
    life.rose(await life.holds(FIELDS), 0)
    done = await life.client.remove_index(life.names.alias)
    same("what was done", done, planned)
    same("documents", done.documents, sum(one.has_own for one in kept.values()))
    await life.is_described()
    now = await own.described(life.cluster, life.serving)
    same("the whole index", now, life.before)
    risen = life.rose(await life.holds(), 1, but=life.too_large)
    again = await life.client.remove_index(life.names.alias)
    same("documents of a second removal", again.documents, 0)
    left = await own.leftovers(life.cluster, life.names)
    return {"documents": done.documents, "versions that rose by one": risen, "remains": list(done.remains), **left}


def options(fields: tuple[str, ...]) -> IndexOptions:
    """Fields, and short texts: what is longer is cut."""
    return IndexOptions(model=MODEL, fields=tuple(map(TextField, fields)), max_length=64, chunks=2)


async def backfill(life: Life) -> Counts:
    """Run a backfill to its end."""
    events = [event async for event in life.client.backfill_index(life.names.alias, _QUIET)]
    last = events[-1]
    assert isinstance(last, Progress)
    assert last.finished
    large = {id for id, _ in life.too_large}
    same("not done", {(e.id, e.error.reason) for e in events if isinstance(e, NotDone) and e.id not in large}, set())
    names = ("read", "encoded", "kept", "skipped", "conflicts", "gone", "failed", "round")
    return {name: getattr(last, name) for name in names}


async def step(life: Life, name: Any, wanted: IndexOptions | None = None) -> Counts:
    """One step of an upgrade."""
    events = [one async for one in life.client.upgrade_index(life.names.alias, name, wanted, settings=_QUIET)]
    last, progress = events[-1], [one for one in events if isinstance(one, Progress)]
    assert isinstance(last, Switched)
    large = {id for id, _ in life.too_large}
    same("not done", {(e.id, e.error.reason) for e in events if isinstance(e, NotDone) and e.id not in large}, set())
    counts = {name: getattr(progress[-1], name) for name in ("encoded", "kept", "skipped", "conflicts", "failed")}
    return {**counts, "serving": list(last.serving)}


async def feed(life: Life, wanted: Sequence[tuple[Key, Json]]) -> dict[Key, str]:
    """Feed documents by the main alias; outcome or error of each."""

    async def each() -> AsyncIterator[SourceDocument]:
        for (id, routing), source in wanted:
            yield SourceDocument(id, dumps(source).encode(), routing)

    answers = [one async for one in life.client.index_documents(life.names.alias, each())]
    outcomes = {one.id: str(one.error) if one.error else one.outcome for one in answers}
    return {key: outcomes[key[0]] for key, _ in wanted}
