"""Reading documents back: by id with every acknowledged write, and all of them in the order of `Dialect.scan_order`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sidecar.engines.opensearch import answers, bookkeeping, fields, lifecycle, writes
from sidecar.engines.opensearch.dialect import Dialect
from sidecar.engines.opensearch.hits import blob, stored_document
from sidecar.engines.opensearch.http import Http, Request, index_path
from sidecar.engines.opensearch.mapping import HEAVY_FIELDS
from sidecar.engines.opensearch.multi_index import MultiIndex, addressed, is_found, located, resolve, window
from sidecar.errors import ChercheError, Code, precondition
from sidecar.values.documents import CODES, TERMS, Json, StoredDocument
from sidecar.values.index import IndexMeta

READ_BATCH = 500
SCAN_BATCH = 200
_ROUNDS = 3
_DOC_VALUES = {"docvalue_fields": [TERMS, CODES]}
_HEADS = {"_source_excludes": ",".join(HEAVY_FIELDS)}
# By `_seq_no`, which has doc values: `_id` would be loaded into fielddata.
_SCATTERED = {"function_score": {"random_score": {"seed": 7, "field": "_seq_no"}, "boost_mode": "replace"}}
_LEAN = {"_source": {"excludes": list(HEAVY_FIELDS)}}


async def read(
    http: Http, dialect: Dialect, index: str, ids: Sequence[str], routings: Mapping[str, str] | None
) -> dict[str, StoredDocument]:
    """What is stored under `ids`; see `Engine.read`.

    A GET sees every acknowledged write but no doc values; a search has doc values but sees
    only what was refreshed. Both are sent, and their sequence numbers compared: where the
    search is behind, the index is refreshed and both are sent again.
    """
    found: dict[str, StoredDocument] = {}
    unique = list(dict.fromkeys(ids))
    behind = await resolve(http, index) if unique else None
    group = None if behind is None or behind.is_one else behind
    known = routings or {}
    copies, most = (len(behind.names), behind.window) if behind else (1, 1)
    # Each index may hold an id, and more than once under several routings.
    size = max(1, min(READ_BATCH, most // copies))
    most = min(most, 4 * size * copies)
    for part in _parts(unique, size):
        found |= await _read_batch(http, dialect, index, part, group, known, most)
    for part in _parts([id_ for id_ in unique if id_ not in found] if routings is None else [], size):
        found |= await _found(http, dialect, index, part, most)
    return found


async def scan(http: Http, dialect: Dialect, index: str, ids: Sequence[str] = ()) -> AsyncIterator[StoredDocument]:
    """All documents of one point in time, or those with one of `ids`, in the order of the dialect."""
    what = f'index "{index}"'
    most = await window(http, index)
    pit = dialect.pit_id(await http.send(dialect.open_pit(index), what=what), what)
    try:
        after: dict[str, Any] = {}
        size = min(SCAN_BATCH, most)
        wanted = {"query": {"ids": {"values": list(ids)}}} if ids else {}
        while True:
            body = {
                **dialect.in_pit(pit),
                **wanted,
                **_LEAN,
                **_DOC_VALUES,
                **after,
                "size": size,
                "sort": dialect.scan_order,
                "track_total_hits": False,
            }
            reply = await http.send(Request("POST", "/_search", body), what=what)
            raws = answers.hits(reply, what, ("sort",))
            # The id may change from one page to the next.
            pit = reply.get("pit_id", pit)
            is_last = len(raws) < size
            # Shards and indices may hold one id each: those of a page's last id may go on behind the page.
            whole = raws if is_last else [raw for raw in raws if raw["sort"] != raws[-1]["sort"]]
            for raw in whole:
                yield stored_document(raw, raw.get("fields", {}))
            if is_last:
                return
            if whole:
                after = {"search_after": whole[-1]["sort"]}
            else:
                size = _wider(size, most, raws[-1]["_id"])
    finally:
        await http.send(dialect.close_pit(pit), what=what)


async def sample(http: Http, dialect: Dialect, index: str, size: int) -> list[StoredDocument]:
    """Some documents, spread over the index by a fixed seed.

    Raises
    ------
    ChercheError
        As `fields.check_readable` and `fields.check_types`, where the cluster does not give them.
    """
    size = min(size, await window(http, index))
    body = {"query": _SCATTERED, "size": size, "track_total_hits": False, **_LEAN, **_DOC_VALUES}
    try:
        reply = await http.send(dialect.search(index, body), what=f'index "{index}"')
    except ChercheError as error:
        if error.code is Code.INVALID_ARGUMENT:  # of an index that keeps no `_source`, among others
            found = await lifecycle.facts(http, index)
            fields.check_readable(found)
            fields.check_types(found, sparse_vector=dialect.may_hold_vectors)
        raise
    return [stored_document(raw, raw.get("fields", {})) for raw in answers.hits(reply, f'index "{index}"')]


async def behind(http: Http, dialect: Dialect, index: str) -> int:
    """Replicas that have not yet copied what the primary made searchable."""
    if not dialect.segment_replication:
        return 0
    request = Request("GET", f"/_cat/segment_replication{index_path(index)}", params={"format": "json"})
    try:
        copies = await http.send(request, what=f'index "{index}"')
    except ChercheError as error:
        # A caller who may write and refresh need not have the permission to monitor.
        if error.code == Code.PERMISSION_DENIED:
            return 0
        raise
    with answers.reading(f'index "{index}"'):
        return sum(int(copy["checkpoints_behind"]) > 0 for copy in copies)


async def foreign_versions(http: Http, dialect: Dialect, index: str, size: int) -> int:
    """How many documents of a sample have a version that writes without one cannot have led to.

    Each write of a shard has a number of its own: no document of it was written more often than its own number says,
    nor all of them together more often than the last one.
    """
    size, what = min(size, await window(http, index)), f'index "{index}"'
    body = {"query": _SCATTERED, "size": size, "track_total_hits": True, "_source": False}
    body |= {"version": True, "seq_no_primary_term": True}
    reply = await http.send(dialect.search(index, body), what=what)
    found = answers.hits(reply, what, ("_version", "_seq_no"))
    beyond = sum(int(raw["_version"]) > int(raw["_seq_no"]) + 1 for raw in found)
    numbered = sorted((int(raw["_version"]) for raw in found), reverse=True)
    if beyond or not numbered or numbered[0] == 1:
        return beyond
    made = sum(shard.mark + 1 for shard in await writes.shards(http, index))
    with answers.reading(what):
        return _numbered_by_somebody(numbered, int(reply["hits"]["total"]["value"]), made)


async def versions(
    http: Http, dialect: Dialect, index: str, places: Sequence[tuple[str, str]], meta: IndexMeta
) -> list[StoredDocument]:
    """Documents of a concrete index by id and routing; see `Engine.versions`.

    One that was written since the last refresh is answered as it was before: its guarded write is refused.
    """
    facts = await lifecycle.facts(http, index)
    # Routings may share an id: some may be crowded out, and are as those that are not found.
    size = min([4 * len(places), *(each.max_window for each in facts)])
    body = {
        "query": {"ids": {"values": sorted({id for id, _ in places})}},
        "size": size,
        "_source": writes.source_of([field.name for field in meta.fields]),
        **_DOC_VALUES,
        "track_total_hits": False,
        "seq_no_primary_term": True,
    }
    params = {"preference": dialect.read_preference} if dialect.read_preference else {}
    what, wanted = f'index "{index}"', set(places)
    reply = await http.send(dialect.search(index, body, params), what=what)
    raws, _ = answers.sound_hits(reply, what, answers.VERSIONED)
    lean = all(each.source_is_lean for each in facts)
    return [
        replace(
            writes.versioned(raw, lean),
            is_complete=None,
            terms=blob(raw.get("fields", {}), TERMS),
            codes=blob(raw.get("fields", {}), CODES),
        )
        for raw in raws
        if (str(raw["_id"]), str(raw.get("_routing", ""))) in wanted
    ]


def _numbered_by_somebody(versions: Sequence[int], documents: int, made: int) -> int:
    """How many of a sample's versions, in falling order, are too high for the writes that all documents took.

    A share of the sample of at least a half stands for that share of the documents, to a fourth: a smaller one may
    be of a few that are written all the time.

    >>> _numbered_by_somebody([5, 5, 5, 5], 1000, 1000), _numbered_by_somebody([900, 1, 1, 1], 1000, 1900)
    (4, 0)
    """
    sample = len(versions)
    for count in range(sample, (sample - 1) // 2, -1):
        if 4 * count * documents * versions[count - 1] > 5 * sample * made:
            return sum(version > 1 for version in versions)
    return 0


async def _read_batch(
    http: Http,
    dialect: Dialect,
    index: str,
    ids: Sequence[str],
    group: MultiIndex | None,
    routings: Mapping[str, str],
    most: int,
) -> dict[str, StoredDocument]:
    done: dict[str, StoredDocument] = {}
    pending = list(ids)
    for attempt in range(_ROUNDS):
        if attempt:
            await http.send(Request("POST", index_path(index, "_refresh")), what=f'index "{index}"')
        wanted = [addressed(id_, routings) for id_ in pending]
        current = await (located(http, group, wanted, _HEADS) if group else _get(http, index, wanted))
        encoded = [id_ for id_, raw in current.items() if bookkeeping.read(raw.get("_source") or {}).state == "ok"]
        seen = await _doc_values(http, dialect, index, encoded, most) if encoded else {}
        values = {id_: seen[key] for id_ in encoded if (key := _place(current[id_])) in seen}
        behind = [id_ for id_ in encoded if _version(values.get(id_)) != _version(current[id_])]
        last = attempt == _ROUNDS - 1
        for id_, raw in current.items():
            if id_ not in behind or last:  # a document that never stands still is encoded again
                fields = {} if id_ in behind else values.get(id_, {}).get("fields", {})
                done[id_] = stored_document(raw, fields)
        pending = behind
        if not pending:
            break
    return done


async def _get(http: Http, index: str, wanted: Sequence[Json]) -> dict[str, Json]:
    request = Request("POST", index_path(index, "_mget"), {"docs": list(wanted)}, _HEADS)
    reply = await http.send(request, what=f'index "{index}"')
    docs = answers.documents(reply, f'index "{index}"', [one["_id"] for one in wanted])
    return {doc["_id"]: doc for doc in docs if is_found(doc, index)}


async def _found(http: Http, dialect: Dialect, index: str, ids: Sequence[str], most: int) -> dict[str, StoredDocument]:
    """Documents wherever they lie, as a search finds them: under a routing that is not known a GET does not."""
    body = {
        "query": {"ids": {"values": list(ids)}},
        "size": most,
        "track_total_hits": False,
        **_LEAN,
        **_DOC_VALUES,
    }
    reply = await http.send(dialect.search(index, body), what=f'index "{index}"')
    found = answers.hits(reply, f'index "{index}"')
    return {raw["_id"]: stored_document(raw, raw.get("fields", {})) for raw in found}


async def _doc_values(
    http: Http, dialect: Dialect, index: str, ids: Sequence[str], most: int
) -> dict[tuple[str, str, str], Json]:
    """By index, id and routing, of which each may be another document."""
    body = {
        "query": {"ids": {"values": list(ids)}},
        "size": most,
        "_source": False,
        "seq_no_primary_term": True,
        "track_total_hits": False,
        **_DOC_VALUES,
    }
    params = {"preference": dialect.read_preference} if dialect.read_preference else {}
    reply = await http.send(dialect.search(index, body, params), what=f'index "{index}"')
    # A hit that cannot be read is as one that is not refreshed yet: read again, and encoded again in the end.
    raws, _ = answers.sound_hits(reply, f'index "{index}"', answers.VERSIONED)
    return {_place(raw): raw for raw in raws}


def _place(raw: Json) -> tuple[str, str, str]:
    return raw["_index"], raw["_id"], raw.get("_routing", "")


def _parts(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (ids[start : start + size] for start in range(0, len(ids), size))


def _wider(size: int, most: int, id_: str) -> int:
    """A larger page, where one id fills all of it.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION where the index allows none.
    """
    if size == most:
        raise precondition(
            f"{most} documents or more have the id {id_!r}", "raise index.max_result_window, or read index by index"
        )
    return min(most, 2 * size)


def _version(raw: Json | None) -> tuple[int, int] | None:
    return None if raw is None else (raw["_primary_term"], raw["_seq_no"])
