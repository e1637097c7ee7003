"""Reading an index shard by shard in the order of its writes, so that reading can end, resume and catch up.

Sequence numbers never repeat within a shard: a document that is written again moves to the end. Whoever read up
to one and reads on from there has seen every document once, and later writes once more. Unlike a point in time
this holds no segment on disk, expires never and is resumed with one number.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from sidecar.engines.opensearch.dialect import Dialect
from sidecar.engines.opensearch.hits import without_own
from sidecar.engines.opensearch.http import Http, Request, index_path
from sidecar.engines.opensearch.mapping import HEAVY_FIELDS
from sidecar.errors import precondition
from sidecar.values.documents import CODES, HASH, STATE, TERMS, Json
from sidecar.values.maintenance import Candidate, Part

PAGE = 128
_WHOLE = "whole"


async def parts(http: Http, index: str) -> tuple[Part, ...]:
    """Every shard behind a name, with what is acknowledged on all its copies; refresh afterwards to see it.

    Raises
    ------
    ChercheError
        NOT_FOUND; UNAVAILABLE is no answer here: a shard without a primary is left out by the cluster, so the
        count is checked.
    """
    reply = await http.send(
        Request("GET", index_path(index, "_stats", "docs,indexing"), params={"level": "shards"}),
        what=f'index "{index}"',
    )
    if failed := int(reply["_shards"].get("failed", 0)):
        raise precondition(f'index "{index}": {failed} shards do not answer', "wait until the index is yellow or green")
    return tuple(
        _part(name, stats["uuid"], shard, copies)
        for name, stats in sorted(reply["indices"].items())
        for shard, copies in sorted(stats["shards"].items(), key=lambda item: int(item[0]))
    )


async def candidates(
    http: Http,
    dialect: Dialect,
    part: Part,
    after: int,
    fields: Sequence[str],
    *,
    with_codes: bool,
    lean: bool,
    only: Json | None = None,
) -> AsyncIterator[list[Candidate]]:
    """Documents whose last write is after `after` and not after the part's mark, in that order, page by page.

    Parameters
    ----------
    fields : sequence of str
        What of their source is read; nothing for all of it.
    with_codes : bool
        Whether a whole document has token codes.
    lean : bool
        Whether the index keeps weights out of ``_source``.
    only : mapping or None
        Query that they must match beside.
    """
    preference = f"_shards:{part.shard}" + (f"|{dialect.read_preference}" if dialect.read_preference else "")
    while after < part.mark:
        body = _body(after, part.mark, fields, with_codes, only)
        request = dialect.search(part.index, body, {"preference": preference})
        reply = await http.send(request, what=f'index "{part.index}", shard {part.shard}')
        if reply["_shards"].get("failed") or reply.get("timed_out"):
            raise precondition(
                f'index "{part.index}": shard {part.shard} does not answer', "wait until the index is yellow or green"
            )
        raws = reply["hits"]["hits"]
        if raws:
            yield [_candidate(raw, lean) for raw in raws]
        if len(raws) < PAGE:
            return
        after = raws[-1]["_seq_no"]


def _body(after: int, mark: int, fields: Sequence[str], with_codes: bool, only: Json | None) -> dict[str, Any]:
    wanted: list[dict[str, Any]] = [{"term": {STATE: "ok"}}, {"exists": {"field": TERMS}}]
    if with_codes:
        wanted.append({"exists": {"field": CODES}})
    written = {"range": {"_seq_no": {"gt": after, "lte": mark}}}
    heads = [*fields, *(f"{name}.*" for name in fields), HASH, STATE] if fields else []
    source: Any = {"includes": heads} if heads else {"excludes": list(HEAVY_FIELDS)}
    return {
        "query": {
            "bool": {
                "filter": [written, *([only] if only else [])],
                "should": [{"bool": {"filter": wanted, "_name": _WHOLE}}],
            }
        },
        "sort": [{"_seq_no": "asc"}],
        "size": PAGE,
        "track_total_hits": False,
        "seq_no_primary_term": True,
        "_source": source,
    }


def _candidate(raw: Json, lean: bool) -> Candidate:
    source = raw.get("_source") or {}
    hash = str(source.get(HASH, ""))
    return Candidate(
        id=str(raw["_id"]),
        source=without_own(source),
        hash=hash,
        state=source.get(STATE),
        whole=_WHOLE in raw.get("matched_queries", ()),
        index=str(raw["_index"]),
        routing=str(raw.get("_routing", "")),
        seq_no=int(raw["_seq_no"]),
        term=int(raw["_primary_term"]),
        keeps_weights=bool(hash) and not lean,
    )


def _part(index: str, uuid: str, shard: str, copies: Sequence[Json]) -> Part:
    primary = next((copy for copy in copies if copy["routing"]["primary"]), None)
    if primary is None:
        raise precondition(f'index "{index}": shard {shard} has no primary', "wait until the index is yellow or green")
    deletions = int(primary["indexing"]["delete_total"])
    return Part(index, uuid, int(shard), int(primary["seq_no"]["global_checkpoint"]), deletions)
