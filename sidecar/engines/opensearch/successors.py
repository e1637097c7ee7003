"""A successor index: filled beside another, it takes that one's place behind an alias.

See `sidecar.protocols.Successors`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sidecar.engines.opensearch import answers, bookkeeping, lifecycle, mapping, seismic, templates
from sidecar.engines.opensearch.bulk import Item, Sleep, Writer, dumps, neural_fields
from sidecar.engines.opensearch.dialect import Dialect
from sidecar.engines.opensearch.errors import of_part
from sidecar.engines.opensearch.hits import without_own
from sidecar.engines.opensearch.http import Http, Request, index_path
from sidecar.engines.opensearch.mapping import HEAVY_FIELDS, UPGRADE
from sidecar.engines.opensearch.multi_index import age
from sidecar.engines.opensearch.writes import FINAL_PIPELINE, final_pipeline
from sidecar.errors import ChercheError, Code, invalid, precondition, unavailable
from sidecar.values.documents import SEISMIC, Json, StoredDocument, Version, WriteResult, version_of
from sidecar.values.index import IndexMeta
from sidecar.values.maintenance import Placement, Serving

_CLONING = 60.0  # seconds
_REPLACE = "ctx._source.clear(); ctx._source.putAll(params.source)"
# The cluster's own facts about one index, and blocks: creation refuses the former, a copy must not have the latter.
_NOT_COPIED = (
    "index.uuid",
    "index.creation_date",
    "index.provided_name",
    "index.version.",
    "index.resize.",
    "index.routing.allocation.initial_recovery",
    "index.blocks.",
    "index.history.uuid",
    # Would run on every document that is copied; it is taken over when the index begins to serve.
    FINAL_PIPELINE,
)


class OpenSearchSuccessors:
    """Implements `Successors` over a cluster's REST API."""

    def __init__(self, http: Http, dialect: Dialect, sleep: Sleep) -> None:
        self._http, self._dialect, self._sleep = http, dialect, sleep

    async def serving(self, index: str) -> Serving:
        """See `Successors.serving`."""
        return serving(index, await lifecycle.facts(self._http, index))

    async def create(self, successor: str, like: str, meta: IndexMeta) -> None:
        """See `Successors.create`."""
        try:
            known = mapping.read_meta(successor, await lifecycle.facts(self._http, successor))
        except ChercheError as error:
            if error.code is not Code.NOT_FOUND:
                raise
            await self._create(successor, like, meta)
            return
        # One that is set up alike belongs to an attempt that was cut off, and is filled further.
        if known != meta:
            raise ChercheError(
                Code.ALREADY_EXISTS,
                f'index "{successor}" exists and is not set up for this upgrade',
                "name another one with --shadow, or delete it",
            )

    async def held(self, index: str, documents: Sequence[StoredDocument]) -> dict[str, StoredDocument]:
        """See `Successors.held`."""
        docs = await self._get(index, documents, {"_source_excludes": ",".join(HEAVY_FIELDS)})
        return {doc["_id"]: _held(doc) for doc in docs if doc.get("found")}

    async def absent(self, index: str, documents: Sequence[StoredDocument]) -> list[StoredDocument]:
        """See `Successors.absent`."""
        docs = await self._get(index, documents, {"_source": "false"})
        return [one for one, doc in zip(documents, docs, strict=True) if not doc.get("found")]

    async def place(self, index: str, placements: Sequence[Placement]) -> list[WriteResult]:
        """See `Successors.place`; what a final pipeline makes of a document, which no request passes by, is undone."""
        writer = Writer(self._http, index, sleep=self._sleep, params={"pipeline": "_none"})
        items = []
        for position, placement in enumerate(placements):
            try:
                items.append(placed(position, placement))
            except ChercheError as error:
                writer.refuse(position, WriteResult(placement.document.id, error))
        results = await writer.deliver(items, len(placements))
        if pipeline := await final_pipeline(self._http, index):
            await self._undo(index, pipeline, placements, results, writer.numbers)
        return results

    async def _undo(
        self,
        index: str,
        pipeline: str,
        placements: Sequence[Placement],
        results: list[WriteResult],
        numbers: Mapping[int, tuple[int, int]],
    ) -> None:
        """Put placed documents as they were over what a pipeline made of them; an update passes through none."""
        at = [position for position, result in enumerate(results) if result.error is None]
        dropped = [position for position in at if numbers[position][0] < 0]
        for position in dropped:
            said = precondition(
                f'document "{results[position].id}" was dropped by the final pipeline "{pipeline}" of index "{index}"',
                "write it through the alias, or set index.final_pipeline to _none and run the command again",
            )
            results[position] = WriteResult(results[position].id, said)
        kept = [position for position in at if position not in dropped]
        items = [_undone(position, placements[position], numbers[position]) for position in kept]
        writer = Writer(self._http, index, sleep=self._sleep)
        for position in set(range(len(results))) - set(kept):
            writer.refuse(position, results[position])
        for position, answer in enumerate(await writer.deliver(items, len(results))):
            # Whoever wrote or deleted it meanwhile is newer.
            if answer.error is not None and answer.error.code not in (Code.ABORTED, Code.NOT_FOUND):
                results[position] = answer

    async def discard(self, documents: Sequence[StoredDocument]) -> list[WriteResult]:
        """See `Successors.discard`."""
        versions = [version_of(one) for one in documents]
        items = [
            Item(i, one.id, _line("delete", version.index, one.id, version.routing, version))
            for i, (one, version) in enumerate(zip(documents, versions, strict=True))
        ]
        return await Writer(self._http, "", sleep=self._sleep).deliver(items, len(items))

    async def announce(
        self, old: str, new: str, read: Mapping[str, int], marks: Mapping[str, int], *, is_back: bool = False
    ) -> None:
        """See `Successors.announce`."""
        [successor] = await lifecycle.facts(self._http, new)
        await self._annotate(successor, announcement(old, read, marks, is_back=is_back))
        [replaced] = await lifecycle.facts(self._http, old)
        await self._annotate(replaced, {**replaced.meta.get(UPGRADE, {}), "successor": new})

    async def switch(self, alias: str, old: Sequence[str], new: Sequence[str]) -> None:
        """See `Successors.switch`; filters and routings of the aliases stay as they are."""
        actions: list[dict[str, Any]] = []
        for name in old:
            for other, options in (await self._aliases(name)).items():
                actions.append({"remove": {"index": name, "alias": other}})
                actions += [{"add": {"index": successor, "alias": other, **options}} for successor in new]
        for successor in new:
            await self._take_over_pipeline(old, successor)
        # One request, which is applied as a whole: at no time does an alias stand for nothing.
        await self._send(alias, Request("POST", "/_aliases", {"actions": actions}))

    async def quiet(self, index: str) -> None:
        """See `Successors.quiet`."""
        if await final_pipeline(self._http, index):
            await self._set_final_pipeline(index, None)

    async def freeze(self, index: str, *, frozen: bool) -> None:
        """See `Successors.freeze`."""
        if frozen:  # waits for writes that are on their way, which the setting alone does not
            await self._send(index, Request("PUT", index_path(index, "_block", "write")))
        else:
            await self._send(index, Request("PUT", index_path(index, "_settings"), {"index.blocks.write": None}))

    async def clone(self, index: str, name: str) -> None:
        """See `Successors.clone`."""
        await self._delete_copy(index, name)
        # Cloning requires the block on the source, and would copy it.
        body = {"settings": {"index.blocks.write": None}}
        await self._send(index, Request("POST", index_path(index, "_clone", name), body), _CLONING)
        path = f"/_cluster/health{index_path(name)}"
        params = {"wait_for_status": "yellow", "timeout": f"{_CLONING:g}s"}
        health = await self._send(name, Request("GET", path, params=params), 2 * _CLONING)
        if answers.part(health, f'index "{name}"', "timed_out", of=bool):
            raise unavailable(
                f'the copy "{name}" of index "{index}" does not start', "wait until the cluster is healthy"
            )

    async def replace(self, index: str, new: str) -> None:
        """See `Successors.replace`."""
        aliases = await self._aliases(index)
        await self._take_over_pipeline([index], new)
        # An alias cannot have the name of an index; in one request both steps happen at once.
        actions: list[dict[str, Any]] = [{"remove_index": {"index": index}}]
        actions.append({"add": {"index": new, "alias": index}})
        actions += [{"add": {"index": new, "alias": alias, **options}} for alias, options in aliases.items()]
        await self._send(index, Request("POST", "/_aliases", {"actions": actions}))

    async def roll(self, stream: str, meta: IndexMeta) -> str:
        """See `Successors.roll`.

        Raises
        ------
        ChercheError
            FAILED_PRECONDITION where the stream has no index template.
        """
        names = [each.name for each in await lifecycle.facts(self._http, stream)]
        template = await templates.behind(self._http, stream, names)
        if template is None:
            raise precondition(
                f"no index template makes the indices of {stream!r}, or its name is an alias", "name the data stream"
            )
        changed = template.setup(meta, recovery_source=self._dialect.recovery_source)
        if changed:
            await self._send(stream, changed)
        reply = await self._send(stream, Request("POST", index_path(stream, "_rollover")))
        return str(answers.part(reply, f'index "{stream}"', "new_index", of=str))

    async def _take_over_pipeline(self, old: Sequence[str], new: str) -> None:
        names = sorted({name for index in old if (name := await final_pipeline(self._http, index))})
        if len(names) > 1:
            raise precondition(
                f"the indices {', '.join(old)} have different final pipelines, {', '.join(names)}: one index has one",
                f"give them the same {FINAL_PIPELINE}, or upgrade one after another",
            )
        for name in names:
            await self._set_final_pipeline(new, name)

    async def _set_final_pipeline(self, index: str, name: str | None) -> None:
        await self._send(index, Request("PUT", index_path(index, "_settings"), {FINAL_PIPELINE: name}))

    async def _delete_copy(self, index: str, name: str) -> None:
        """Delete the copy that an interrupted attempt left behind, and nothing else."""
        try:
            [there] = await lifecycle.facts(self._http, name)
        except ChercheError as error:
            if error.code is Code.NOT_FOUND:
                return
            raise
        [original] = await lifecycle.facts(self._http, index)
        note = original.meta.get(UPGRADE)
        if note is None or there.meta.get(UPGRADE) != note:
            raise ChercheError(
                Code.ALREADY_EXISTS, f'index "{name}" exists and is no copy of "{index}"', "delete or rename it"
            )
        await self._send(name, Request("DELETE", index_path(name)))

    async def _get(self, index: str, documents: Sequence[StoredDocument], params: Mapping[str, str]) -> list[Json]:
        if not documents:
            return []
        routings = [version_of(one).routing for one in documents]
        wanted = [
            {"_id": one.id, **({"routing": routing} if routing else {})}
            for one, routing in zip(documents, routings, strict=True)
        ]
        reply = await self._send(index, Request("POST", index_path(index, "_mget"), {"docs": wanted}, params))
        docs = answers.documents(reply, f'index "{index}"', [one.id for one in documents])
        for doc in docs:
            if "error" in doc:  # nothing is known, which is not "absent"
                raise of_part(doc["error"], f'index "{index}", document "{doc["_id"]}"')
        return docs

    async def _create(self, successor: str, like: str, meta: IndexMeta) -> None:
        if meta.weights == SEISMIC:
            await seismic.check(self._http, self._dialect)
        shown = {"flat_settings": "true"}
        mappings = await self._send(like, Request("GET", index_path(like, "_mapping")))
        settings = await self._send(like, Request("GET", index_path(like, "_settings"), params=shown))
        with answers.reading(f'index "{like}"'):
            name = max(mappings)  # of several the newest, as rollovers number them
            body = creation(mappings[name]["mappings"], settings[name]["settings"], meta, self._dialect.recovery_source)
        await self._send(successor, Request("PUT", index_path(successor), body))

    async def _aliases(self, index: str) -> Mapping[str, Json]:
        """Aliases of a concrete index, with their filters and routings."""
        what = f'index "{index}"'
        reply = await self._send(index, Request("GET", index_path(index, "_alias")))
        return answers.objects(answers.part(reply, what, index, "aliases"), what)

    async def _annotate(self, each: mapping.IndexFacts, note: Json) -> None:
        body = {"_meta": {**each.meta, UPGRADE: note}}
        await self._send(each.name, Request("PUT", index_path(each.name, "_mapping"), body))

    async def _send(self, index: str, request: Request, timeout: float | None = None) -> Any:  # noqa: ANN401  # a reply
        return await self._http.send(request, what=f'index "{index}"', timeout=timeout)


def announcement(old: str, read: Mapping[str, int], marks: Mapping[str, int], *, is_back: bool) -> dict[str, Any]:
    """What ``_meta`` of an index says of the one that it replaces; see `Serving`."""
    return {"replaces": [old], "read": dict(read), "marks": dict(marks), **({"is_back": True} if is_back else {})}


def serving(index: str, found: Sequence[mapping.IndexFacts]) -> Serving:
    """What a name stands for, given the indices behind it and what upgrades noted there.

    Raises
    ------
    ChercheError
        UNAVAILABLE where a note is of another form.
    """
    names = tuple(sorted((each.name for each in found), key=age))
    is_alias = index not in names
    with answers.reading(f'_meta.{UPGRADE} of index "{index}"'):
        notes = [each.meta.get(UPGRADE, {}) for each in found]
        return Serving(
            is_alias=is_alias,
            names=names,
            is_stream=is_alias and any(name.startswith(templates.BACKING) for name in names),
            replaced=tuple(dict.fromkeys(str(name) for note in notes for name in note.get("replaces", ()))),
            successor=next((str(note["successor"]) for note in notes if "successor" in note), ""),
            read=_numbers(notes, "read"),
            marks=_numbers(notes, "marks"),
            is_back=any(note.get("is_back") is True for note in notes),
        )


def creation(mappings: Json, settings: Json, meta: IndexMeta, recovery_source: bool) -> dict[str, Any]:
    """Body that creates an index like another one, with our fields out of ``_source``.

    Parameters
    ----------
    mappings, settings : mapping
        Of the other one; settings flat.
    recovery_source : bool
        Whether the cluster can leave fields out of the recovery source.
    """
    source = dict(mappings.get("_source", {}))
    source["excludes"] = list(dict.fromkeys((*source.get("excludes", ()), *HEAVY_FIELDS)))
    # Decided anew: under document replication the predecessor's choice may lose weights.
    source.pop("recovery_source_excludes", None)
    if mapping.lean_recovery(settings, known=recovery_source):
        source["recovery_source_excludes"] = list(HEAVY_FIELDS)
    own = {key: value for key, value in (mappings.get("_meta") or {}).items() if key not in ("cherche", UPGRADE)}
    kept = {key: value for key, value in settings.items() if not key.startswith((*_NOT_COPIED, seismic.SETTING))}
    if meta.weights == SEISMIC:
        kept[seismic.SETTING] = "true"
    return {
        "settings": kept,
        "mappings": {
            **mappings,
            "_source": source,
            "_meta": {**own, "cherche": meta.to_json()},
            "properties": mapping.completed(mappings.get("properties", {}), meta),
        },
    }


def placed(position: int, placement: Placement) -> Item:
    """An ``index`` action over what was found, ``create`` where nothing was.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for a document that cannot be written as JSON.
    """
    document = placement.document
    try:
        # `create` fails where somebody wrote the id meanwhile: that write is newer.
        action = _line("index" if placement.over else "create", "", document.id, placement.routing, placement.over)
        body = dumps({**document.source, **neural_fields(document)})
        return Item(position, document.id, action + body.encode() + b"\n")
    except (TypeError, ValueError, RecursionError) as error:
        raise invalid(f"document {document.id!r} cannot be written: {error}", "mend it") from error


def _undone(position: int, placement: Placement, number: tuple[int, int]) -> Item:
    """An ``update`` action that writes the whole document again."""
    document = placement.document
    action = _line("update", "", document.id, placement.routing, Version(*number))
    params = {"source": {**document.source, **neural_fields(document)}}
    body = dumps({"script": {"lang": "painless", "source": _REPLACE, "params": params}})
    return Item(position, document.id, action + body.encode() + b"\n")


def _line(operation: str, index: str, id: str, routing: str, guard: Version | None) -> bytes:
    action: dict[str, Any] = {"_index": index} if index else {}
    action["_id"] = id
    if routing:
        action["routing"] = routing
    if guard is not None:
        action |= {"if_seq_no": guard.seq_no, "if_primary_term": guard.term}
    return dumps({operation: action}).encode() + b"\n"


def _numbers(notes: Sequence[Json], name: str) -> dict[str, int]:
    return {key: int(value) for note in notes for key, value in note.get(name, {}).items()}


def _held(doc: Json) -> StoredDocument:
    source = doc.get("_source") or {}
    note = bookkeeping.read(source)
    return StoredDocument(
        doc["_id"],
        without_own(source),
        note.hash,
        note.state,
        is_complete=note.state in ("ok", "no_text"),
        version=Version(int(doc["_seq_no"]), int(doc["_primary_term"])),
    )
