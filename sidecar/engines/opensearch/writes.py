"""An index shard by shard in the order of its writes: read it page by page, update what is still as it was read.

Sequence numbers never repeat within a shard: a document that is written again moves to the end. A reader that goes
on after the last number it saw has seen every document once, and later writes once more. Unlike a point in time
this keeps no segment on disk, never expires, and is resumed with one number.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from sidecar.engines.opensearch import answers, bookkeeping
from sidecar.engines.opensearch.answers import VERSIONED
from sidecar.engines.opensearch.bulk import Item, Sleep, Writer, dumps, neural_fields, rewritten
from sidecar.engines.opensearch.dialect import Dialect
from sidecar.engines.opensearch.errors import NoScripts
from sidecar.engines.opensearch.hits import without_own
from sidecar.engines.opensearch.http import Http, Request, index_path
from sidecar.engines.opensearch.mapping import HEAVY_FIELDS
from sidecar.errors import ChercheError, Code, invalid, not_found, precondition
from sidecar.values.documents import (
    CODES,
    OWN_FIELDS,
    TERMS,
    Json,
    StoredDocument,
    Version,
    WriteResult,
    version_of,
)
from sidecar.values.maintenance import ShardRange

PAGE = 128
FINAL_PIPELINE = "index.final_pipeline"
_COMPLETE = "whole"  # a clause's name within our own requests

# Where weights lie in ``_source`` a partial document would be merged with them: features of the text before would
# stay. The script is one for all, so that it is compiled once. Elsewhere no script is needed.
SCRIPT = "for (name in params.names) { ctx._source.remove(name) } ctx._source.putAll(params.fields)"


async def shards(http: Http, index: str) -> tuple[ShardRange, ...]:
    """Every shard behind a name, with what is acknowledged on all its copies; refresh afterwards to see it.

    Raises
    ------
    ChercheError
        NOT_FOUND; FAILED_PRECONDITION where a shard does not answer or has no primary.
    """
    what = f'index "{index}"'
    request = Request("GET", index_path(index, "_stats", "docs,indexing"), params={"level": "shards"})
    reply = await http.send(request, what=what)
    with answers.reading(what):
        if failed := int(reply["_shards"].get("failed", 0)):
            raise precondition(f"{what}: {failed} shards do not answer", "wait until the index is yellow or green")
        return tuple(
            _shard(name, str(stats["uuid"]), shard, copies)
            for name, stats in sorted(reply["indices"].items())
            for shard, copies in sorted(stats["shards"].items(), key=lambda item: int(item[0]))
        )


async def pages(
    http: Http,
    dialect: Dialect,
    shard: ShardRange,
    after: int,
    fields: Sequence[str],
    *,
    with_codes: bool,
    lean: bool,
    only: Json | None = None,
    most: int = PAGE,
) -> AsyncIterator[list[StoredDocument]]:
    """Documents whose last write is after `after` and not after the shard's mark, in that order, page by page.

    Parameters
    ----------
    fields : sequence of str
        What of their source is read; nothing for all of it.
    with_codes : bool
        Whether a complete document has token codes.
    lean : bool
        Whether the index keeps weights out of ``_source``.
    only : mapping or None
        Query that they must match beside.
    most : int
        Most hits that one search of the index may return.
    """
    size = min(PAGE, most)
    preference = f"_shards:{shard.shard}" + (f"|{dialect.read_preference}" if dialect.read_preference else "")
    while after < shard.mark:
        body = _body(after, shard.mark, fields, with_codes, only, size)
        request = dialect.search(shard.index, body, {"preference": preference})
        what = f'index "{shard.index}", shard {shard.shard}'
        reply = await http.send(request, what=what)
        # Hits that a page lacks would never be read: the next one begins behind its last number.
        if answers.part(reply, what, "_shards").get("failed") or reply.get("timed_out"):
            raise precondition(
                f'index "{shard.index}": shard {shard.shard} does not answer', "wait until the index is yellow or green"
            )
        raws = answers.hits(reply, what, VERSIONED)
        if raws:
            yield [versioned(raw, lean) for raw in raws]
        if len(raws) < size:
            return
        if raws[-1]["_seq_no"] <= after:  # or the same page would be read for ever
            raise answers.odd(what, f"hits after write {after} end at {raws[-1]['_seq_no']}")
        after = raws[-1]["_seq_no"]


def _body(
    after: int, mark: int, fields: Sequence[str], with_codes: bool, only: Json | None, size: int
) -> dict[str, Any]:
    wanted: list[dict[str, Any]] = [bookkeeping.is_in("ok"), {"exists": {"field": TERMS}}]
    if with_codes:
        wanted.append({"exists": {"field": CODES}})
    written = {"range": {"_seq_no": {"gt": after, "lte": mark}}}
    return {
        "query": {
            "bool": {
                "filter": [written, *([only] if only else [])],
                # Beside a filter no `should` has to match: the clause only marks the complete ones by its name.
                "should": [{"bool": {"filter": wanted, "_name": _COMPLETE}}],
            }
        },
        "sort": [{"_seq_no": "asc"}],
        "size": size,
        "track_total_hits": False,
        "seq_no_primary_term": True,
        "_source": source_of(fields),
    }


def source_of(fields: Sequence[str]) -> Json:
    """What is read of a document's source: some of its fields, or all, and what it says of its neural part."""
    heads = [*fields, *(f"{name}.*" for name in fields), *bookkeeping.FIELDS] if fields else []
    return {"includes": heads} if heads else {"excludes": list(HEAVY_FIELDS)}


def versioned(raw: Json, lean: bool) -> StoredDocument:
    """A document with its version; `lean` as in `pages`."""
    source = raw.get("_source") or {}
    note = bookkeeping.read(source)
    return StoredDocument(
        id=str(raw["_id"]),
        source=without_own(source),
        hash=note.hash,
        state=note.state,
        is_complete=note.state == "no_text" or _COMPLETE in raw.get("matched_queries", ()),
        version=Version(
            seq_no=int(raw["_seq_no"]),
            term=int(raw["_primary_term"]),
            index=str(raw["_index"]),
            routing=str(raw.get("_routing", "")),
            # A script takes out what a partial document would leave behind.
            weights_in_source=note.exposed or (bool(note.hash) and not lean),
        ),
        exposed=note.exposed,
    )


def _shard(index: str, uuid: str, shard: str, copies: Sequence[Json]) -> ShardRange:
    primary = next((copy for copy in copies if copy["routing"]["primary"]), None)
    if primary is None:
        raise precondition(f'index "{index}": shard {shard} has no primary', "wait until the index is yellow or green")
    deletions = int(primary["indexing"]["delete_total"])
    # Only up to the global checkpoint can no smaller number become visible after a larger one.
    return ShardRange(index, uuid, int(shard), int(primary["seq_no"]["global_checkpoint"]), deletions)


async def update(
    http: Http,
    documents: Sequence[StoredDocument],
    *,
    sleep: Sleep,
    fields_of: Callable[[StoredDocument], Json] = neural_fields,
    keeps_versions: bool = False,
) -> list[WriteResult]:
    """Put `fields_of` documents of any indices in place of their neural part, in bulk; results in order.

    No pipeline runs: the cluster applies none, not even a final one, to an ``update`` of a bulk that inserts nothing.

    With `keeps_versions` documents are written whole instead, under the versions that their owner gave them.

    ABORTED where a document is not of the version that it was read in.
    """
    if keeps_versions:
        return await _rewrite(http, documents, sleep=sleep, fields_of=fields_of, keeps_versions=True)
    writer = Writer(http, "", sleep=sleep)
    items = []
    for position, document in enumerate(documents):
        try:
            items.append(item(position, document, fields_of(document)))
        except ChercheError as error:
            writer.refuse(position, WriteResult(document.id, error))
    results = await writer.deliver(items, len(documents))
    unscripted = [position for position, result in enumerate(results) if isinstance(result.error, NoScripts)]
    if unscripted:
        again = await _rewrite(http, [documents[position] for position in unscripted], sleep=sleep, fields_of=fields_of)
        for position, result in zip(unscripted, again, strict=True):
            results[position] = result
    return results


def item(position: int, document: StoredDocument, fields: Json) -> Item:
    """An ``update`` action that puts `fields` in, guarded by the version that the document was read in.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for an id that no JSON holds.
    """
    version = version_of(document)
    action: dict[str, Any] = {
        "_index": version.index,
        "_id": document.id,
        "if_seq_no": version.seq_no,
        "if_primary_term": version.term,
    }
    if version.routing:
        action["routing"] = version.routing
    body: dict[str, Any] = {"doc": fields}
    if version.weights_in_source:
        params = {"names": OWN_FIELDS, "fields": fields}
        body = {"script": {"lang": "painless", "source": SCRIPT, "params": params}}
    try:
        lines = "\n".join((dumps({"update": action}), dumps(body), ""))
        return Item(position, document.id, lines.encode())
    except (TypeError, ValueError) as error:
        raise invalid(f"document {document.id!r} cannot be written: {error}", "mend its id") from error


async def _rewrite(
    http: Http,
    documents: Sequence[StoredDocument],
    *,
    sleep: Sleep,
    fields_of: Callable[[StoredDocument], Json],
    keeps_versions: bool = False,
) -> list[WriteResult]:
    """As `update`, without scripts: each document is read whole and written back, if it is still as it was."""
    if not documents:
        return []
    if refusal := await _refusal(http, sorted({version_of(one).index for one in documents})):
        return [WriteResult(one.id, refusal) for one in documents]
    docs = [_address(document) for document in documents]
    params = {"_source_excludes": ",".join(OWN_FIELDS)}
    reply = await http.send(Request("POST", "/_mget", {"docs": docs}, params), what="documents to update")
    raws = answers.documents(reply, "documents to update", [one.id for one in documents])
    writer = Writer(http, "", sleep=sleep)
    items = []
    for position, (document, raw) in enumerate(zip(documents, raws, strict=True)):
        version = version_of(document)
        if not raw.get("found"):
            error = not_found(f'document "{document.id}" was deleted')
        elif (raw["_seq_no"], raw["_primary_term"]) != (version.seq_no, version.term):
            error = ChercheError(Code.ABORTED, f'document "{document.id}" was written meanwhile', "read it again")
        else:
            source = {**(raw.get("_source") or {}), **fields_of(document)}
            items.append(rewritten(position, raw, source, keeps_version=keeps_versions))
            continue
        writer.refuse(position, WriteResult(document.id, error))
    return await writer.deliver(items, len(documents))


async def final_pipeline(http: Http, index: str) -> str:
    """The pipeline that runs on all that is written to an index, "" where there is none."""
    request = Request("GET", index_path(index, "_settings", FINAL_PIPELINE), params={"flat_settings": "true"})
    what = f'index "{index}"'
    reply = await http.send(request, what=what)
    with answers.reading(what):
        name = str(reply.get(index, {}).get("settings", {}).get(FINAL_PIPELINE, "_none"))
    return "" if name == "_none" else name


async def _refusal(http: Http, indices: Sequence[str]) -> ChercheError | None:
    """Why documents of these indices cannot be written whole: a final pipeline, which no request can pass by."""
    for index in indices:
        if name := await final_pipeline(http, index):
            return precondition(
                f'index "{index}": the final pipeline "{name}" would change every document that is written whole, '
                "which is needed where the cluster runs no scripts, or versions are to be kept",
                "allow inline scripts (script.allowed_types), or set index.final_pipeline to _none meanwhile",
            )
    return None


def _address(document: StoredDocument) -> dict[str, str]:
    version = version_of(document)
    address = {"_index": version.index, "_id": document.id}
    return {**address, "routing": version.routing} if version.routing else address
