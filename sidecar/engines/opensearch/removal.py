"""Taking out of indices what setup, feed, backfill and upgrade put in; what it will do is known before it is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from sidecar.engines.opensearch import answers, bookkeeping, fields, lifecycle, mapping, templates, writes
from sidecar.engines.opensearch.bulk import Sleep
from sidecar.engines.opensearch.dialect import Dialect
from sidecar.engines.opensearch.http import Http, Request, index_path
from sidecar.engines.opensearch.mapping import UPGRADE, IndexFacts
from sidecar.engines.opensearch.values import JsonValue
from sidecar.errors import ChercheError, Code, precondition
from sidecar.values.documents import CODES, HASH, TERMS, Json, StoredDocument, version_of
from sidecar.values.maintenance import Removal

# Others may write our fields while they are taken out: a feed, or a pipeline of the caller's.
MAX_ROUNDS = 20
# `exists` is refused on the rank_features of the weights (OpenSearch 3.8.0); whoever has them has other fields too.
_TOUCHED = {"bool": {"should": [bookkeeping.is_known(), *({"exists": {"field": name}} for name in (TERMS, CODES))]}}
_BLOCKS = ("index.blocks.write", "index.blocks.read_only", "index.blocks.read_only_allow_delete")
_PIPELINES = {
    "index.default_pipeline": ("_ingest", "processors"),
    "index.final_pipeline": ("_ingest", "processors"),
    "index.search.default_pipeline": ("_search", "request_processors response_processors phase_results_processors"),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What a removal does.

    Attributes
    ----------
    report : Removal
        For people; its documents are those that have fields of ours.
    requests : tuple of Request
        Before documents are changed: after them nothing of the cluster's own puts our fields in again.
    deletions : tuple of Request
        After it.
    stripped : tuple of IndexFacts
        Indices whose documents are changed.
    keeps_versions : bool
        Whether they keep the versions that they have.
    """

    report: Removal
    requests: tuple[Request, ...]
    deletions: tuple[Request, ...]
    stripped: tuple[IndexFacts, ...]
    keeps_versions: bool


async def planned(
    http: Http, dialect: Dialect, index: str, found: Sequence[IndexFacts], *, keeps_versions: bool = False
) -> Plan:
    """What is to be done; nothing is written, and documents count that a search finds.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION for fields of ours in other types, by which documents cannot be found, and where an index
        whose documents are to be changed refuses writes.
    """
    fields.check_types(found, sparse_vector=dialect.may_hold_vectors)
    changes, remains = [], list(mapping.leftovers(found))
    stripped: list[IndexFacts] = []
    documents = 0
    for each in found:
        [count], _ = await lifecycle.count(http, dialect, each.name, [_TOUCHED])
        if not count:
            continue
        if each.lost_by_updates:
            lost = ", ".join(each.lost_by_updates)
            remains.append(
                f"{each.name}: fields of ours in {count:,} documents; without them each would be written anew from its "
                f"_source, which lacks {lost} — feed these documents again to be rid of them"
            )
            continue
        # Found out here, and not when half is done.
        block = next((one for one in _BLOCKS if str(each.settings.get(one)).lower() == "true"), "")
        if block:
            raise precondition(
                f'index "{each.name}": {block} refuses writes, and {count:,} documents hold fields of ours',
                f"set {block} to null and run the command again: nothing was changed",
            )
        stripped.append(each)
        documents += count
    if documents:
        rises = "_seq_no rises, and their _version stays" if keeps_versions else "_version and _seq_no rise"
        changes.append(f"{documents:,} documents are written without our fields, so their {rises}")
    pipelines = await _pipelines(http, found)
    shadows = [name for each in found if (name := await _prepared(http, each))]
    template = await templates.behind(http, index, [each.name for each in found])
    undone = template.removal() if template else None
    if template and undone:
        what = "is deleted" if undone.method == "DELETE" else "is without our part of its mapping"
        changes.append(f"template {template.name} {what}")
    remains += template.leftovers() if template else ()
    changes += [*pipelines.changes, *(f"index {name}, which an upgrade prepared, is deleted" for name in shadows)]
    for each in found:
        remains += [
            f"{name}, if it is still there: kept for a rollback — cherche remove {name}, or delete it"
            for name in each.meta.get(UPGRADE, {}).get("replaces", ())
        ]
    requests = (*pipelines.resets, *([undone] if undone else []), *mapping.removals(found))
    deletions = (*pipelines.deletions, *(Request("DELETE", index_path(name)) for name in shadows))
    report = Removal(documents, tuple(changes), (*remains, *pipelines.remains))
    return Plan(report, requests, deletions, tuple(stripped), keeps_versions)


async def strip(http: Http, dialect: Dialect, plan: Plan, *, sleep: Sleep) -> int:
    """Take our fields out of all documents of indices; how many were changed.

    Each document is read once per round, in the order of writes, and changed if it is still as it was read.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION where documents cannot be changed, or others keep writing them.
    """
    changed = 0
    read: dict[str, int] = {}
    left = list(plan.stripped)
    for _ in range(MAX_ROUNDS):
        for each in list(left):
            # The marks before the refresh, so that all writes up to them are seen.
            shards = await writes.shards(http, each.name)
            await http.send(Request("POST", index_path(each.name, "_refresh")), what=f'index "{each.name}"')
            [count], _ = await lifecycle.count(http, dialect, each.name, [_TOUCHED])
            if not count:
                left.remove(each)
            for shard in shards if count else ():
                after = read.get(shard.key, -1)
                pages = writes.pages(
                    http,
                    dialect,
                    shard,
                    after,
                    (HASH,),
                    with_codes=False,
                    lean=False,
                    only=_TOUCHED,
                    most=each.max_window,
                )
                async for page in pages:
                    changed += await _stripped(http, each.name, page, sleep=sleep, keeps_versions=plan.keeps_versions)
                read[shard.key] = shard.mark
        if not left:
            return changed
    names = ", ".join(each.name for each in left)
    raise precondition(
        f'index "{names}": others keep writing the documents that are to be changed',
        "stop the feed, or the pipeline that encodes, and run the command again",
    )


async def _stripped(
    http: Http, index: str, page: Sequence[StoredDocument], *, sleep: Sleep, keeps_versions: bool
) -> int:
    """Documents changed; those that others changed meanwhile are left to the next round."""
    # Marked so that the whole `_source` is replaced: merging cannot take a field out.
    marked = [replace(one, version=replace(version_of(one), weights_in_source=True)) for one in page]
    results = await writes.update(http, marked, sleep=sleep, fields_of=_nothing, keeps_versions=keeps_versions)
    refused = [result.error for result in results if result.error is not None]
    failures = [error for error in refused if error.code not in (Code.ABORTED, Code.NOT_FOUND)]
    if failures:
        raise precondition(
            f'index "{index}": {len(failures)} documents could not be changed, first: {failures[0]}',
            "mend the cause and run the command again",
        )
    return len(page) - len(refused)


def _nothing(_: StoredDocument) -> Json:
    return {}


@dataclass(frozen=True, slots=True)
class _Pipelines:
    resets: tuple[Request, ...]
    deletions: tuple[Request, ...]
    changes: tuple[str, ...]
    remains: tuple[str, ...]


async def _pipelines(http: Http, found: Sequence[IndexFacts]) -> _Pipelines:
    """Default and final pipelines of indices that hold processors of ours: those with no others are taken out."""
    resets, changes, remains = [], [], []
    known: dict[str, Mapping[str, Any]] = {}
    ours: dict[str, str] = {}
    for each in found:
        for setting, (kind, lists) in _PIPELINES.items():
            name = str(each.settings.get(setting, "_none"))
            if name == "_none":
                continue
            if kind not in known:
                known[kind] = await _known(http, Request("GET", f"/{kind}/pipeline"), what="pipelines")
            with answers.reading(f"pipeline {name!r}"):
                body = known[kind].get(name, {})
                steps = [step for part in lists.split() for step in body.get(part, ())]
                inner = [*dict.fromkeys(_within(steps, known[kind], f"pipeline {name}", name))]
                inner += [*dict.fromkeys(_within(body.get("on_failure", ()), known[kind], "on_failure", name))]
                processors = [key for step in steps for key in step]
            if not inner:
                continue
            if not all(one.startswith("cherche_") for one in processors):
                held = [place for place in inner if place != f"pipeline {name}"]
                where = f"in {', '.join(held)}" if held else "beside others"
                remains.append(f"{each.name}: {setting} {name} has processors of ours {where} — take them out")
                continue
            resets.append(Request("PUT", index_path(each.name, "_settings"), {setting: None}))
            changes.append(f"{each.name}: {setting} was {name}, and is unset")
            ours[f"/{kind}/pipeline/{quote(name, safe='')}"] = name
    deletions = []
    for path, name in ours.items():
        callers = [one for one, body in known.get("_ingest", {}).items() if one != name and _calls(body, name)]
        users = [f"pipeline {one}" for one in callers] or await _others(http, name, [each.name for each in found])
        users = users or await _templates(http, name)
        if users:
            remains.append(f"pipeline {name}: {users[0]} uses it too")
        else:
            deletions.append(Request("DELETE", path))
            changes.append(f"pipeline {name} is deleted")
    return _Pipelines(tuple(resets), tuple(deletions), tuple(changes), tuple(remains))


def _within(steps: Sequence[Json], pipelines: Mapping[str, Any], place: str, *above: str) -> Iterator[str]:
    """Where processors of ours are, in steps of a pipeline and in all that these run.

    Parameters
    ----------
    pipelines : mapping
        All that there are, by name: one may run another.
    place : str
        Of the steps themselves.
    above : str
        Pipelines that are being read, which may run each other in a circle.
    """
    for step in steps:
        for kind, body in step.items():
            if kind.startswith("cherche_"):
                yield place
            name = str(body.get("name"))
            if kind == "pipeline" and name not in above:
                called = pipelines.get(name, {})
                yield from _within(called.get("processors", ()), pipelines, f"pipeline {name}", name, *above)
                yield from _within(called.get("on_failure", ()), pipelines, f"on_failure of {name}", name, *above)
            if kind == "foreach":
                yield from _within([body.get("processor", {})], pipelines, "foreach", *above)
            yield from _within(body.get("on_failure", ()), pipelines, "on_failure", *above)


def _calls(body: JsonValue, name: str) -> bool:
    """Whether a pipeline, at any depth of it, runs another one."""
    if isinstance(body, Mapping):
        named = body.get("pipeline")
        return (isinstance(named, Mapping) and named.get("name") == name) or any(
            _calls(value, name) for value in body.values()
        )
    return isinstance(body, list) and any(_calls(value, name) for value in body)


async def _others(http: Http, pipeline: str, indices: Sequence[str]) -> list[str]:
    """Other indices that have a pipeline by default."""
    params = {"flat_settings": "true", "expand_wildcards": "all"}
    reply = await _known(http, Request("GET", "/_all/_settings", params=params), what="settings")
    if not reply:
        return ["perhaps an index that these credentials do not see"]
    with answers.reading("settings"):
        return [
            name
            for name, entry in sorted(reply.items())
            if name not in indices and any(entry["settings"].get(setting) == pipeline for setting in _PIPELINES)
        ]


async def _templates(http: Http, pipeline: str) -> list[str]:
    """Templates whose next indices will have a pipeline by default: without it they would take no document."""
    kinds = [("index_template", "index_templates"), ("component_template", "component_templates")]
    found: list[tuple[str, Mapping[str, Any]]] = []
    for kind, listed in kinds:
        reply = await _asked(http, Request("GET", f"/_{kind}"), what="templates")
        if reply is None:
            return ["perhaps a template that these credentials do not see"]
        with answers.reading("templates"):
            said = kind.replace("_", " ")
            found += [(f"{said} {one['name']}", one[kind].get("template", {})) for one in reply[listed]]
    legacy = await _known(http, Request("GET", "/_template"), what="templates")
    found += [(f"legacy template {name}", body) for name, body in legacy.items()]
    with answers.reading("templates"):
        settings = {name: templates.flat(body.get("settings", {})) for name, body in found}
        return [name for name, held in settings.items() if any(held.get(one) == pipeline for one in _PIPELINES)]


async def _prepared(http: Http, each: IndexFacts) -> str:
    """The index that an upgrade prepared to follow this one and that serves nobody; "" where there is none."""
    name = str(each.meta.get(UPGRADE, {}).get("successor", ""))
    if not name:
        return ""
    there = await _known(http, Request("GET", index_path(name)), what=name)
    with answers.reading(f'index "{name}"'):
        body = there.get(name, {})
        follows = body.get("mappings", {}).get("_meta", {}).get(UPGRADE, {}).get("replaces") == [each.name]
        return name if follows and not body.get("aliases") else ""


async def _known(http: Http, request: Request, *, what: str) -> Mapping[str, Any]:
    """A reply; {} where there is nothing to answer with, or the caller must not read it."""
    reply = await _asked(http, request, what=what)
    return {} if reply is None else answers.objects(reply, what)


async def _asked(http: Http, request: Request, *, what: str) -> Any:  # noqa: ANN401  # any reply
    """A reply; None where there is none, or the caller must not read it."""
    try:
        return await http.send(request, what=what)
    except ChercheError as error:
        if error.code in (Code.NOT_FOUND, Code.PERMISSION_DENIED):
            return None
        raise
