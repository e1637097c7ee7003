"""Writing weights and codes beside documents as they stand, unless somebody wrote them meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sidecar.engines.opensearch.bulk import Item, Sleep, Writer, dumps, neural_fields, rewritten
from sidecar.engines.opensearch.errors import NoScripts
from sidecar.engines.opensearch.http import Http, Request
from sidecar.errors import ChercheError, Code, invalid, not_found
from sidecar.values.documents import OWN_FIELDS, WriteResult
from sidecar.values.maintenance import Candidate, Revision

# Where weights lie in ``_source`` a partial document would be merged with them: features of the text before would
# stay. The script is one for all, so that it is compiled once. Elsewhere no script is needed.
SCRIPT = "for (name in params.names) { ctx._source.remove(name) } ctx._source.putAll(params.fields)"


async def deliver(http: Http, revisions: Sequence[Revision], *, sleep: Sleep) -> list[WriteResult]:
    """Write revisions of any indices in bulk; results in order. ABORTED where the document is not as it was read."""
    writer = Writer(http, "", sleep=sleep)
    items = []
    for position, revision in enumerate(revisions):
        try:
            items.append(item(position, revision))
        except ChercheError as error:
            writer.refuse(position, WriteResult(revision.candidate.id, error))
    results = await writer.deliver(items, len(revisions))
    unscripted = [position for position, result in enumerate(results) if isinstance(result.error, NoScripts)]
    if unscripted:
        again = await _write_anew(http, [revisions[position] for position in unscripted], sleep=sleep)
        for position, result in zip(unscripted, again, strict=True):
            results[position] = result
    return results


async def _write_anew(http: Http, revisions: Sequence[Revision], *, sleep: Sleep) -> list[WriteResult]:
    """As `deliver`, without scripts: each document is read whole and written back, if it is still as it was."""
    docs = [_address(revision.candidate) for revision in revisions]
    params = {"_source_excludes": ",".join(OWN_FIELDS)}
    reply = await http.send(Request("POST", "/_mget", {"docs": docs}, params), what="documents to revise")
    writer = Writer(http, "", sleep=sleep)
    items = []
    for position, (revision, raw) in enumerate(zip(revisions, reply["docs"], strict=True)):
        candidate = revision.candidate
        if not raw.get("found"):
            error = not_found(f'document "{candidate.id}" was deleted')
        elif (raw["_seq_no"], raw["_primary_term"]) != (candidate.seq_no, candidate.term):
            error = ChercheError(Code.ABORTED, f'document "{candidate.id}" was written meanwhile', "read it again")
        else:
            items.append(rewritten(position, raw, {**raw["_source"], **neural_fields(revision.document)}))
            continue
        writer.refuse(position, WriteResult(candidate.id, error))
    return await writer.deliver(items, len(revisions))


def _address(candidate: Candidate) -> dict[str, str]:
    address = {"_index": candidate.index, "_id": candidate.id}
    return {**address, "routing": candidate.routing} if candidate.routing else address


def item(position: int, revision: Revision) -> Item:
    """An ``update`` action, guarded by the document's last write.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for an id that no JSON holds.
    """
    candidate = revision.candidate
    action: dict[str, Any] = {
        "_index": candidate.index,
        "_id": candidate.id,
        "if_seq_no": candidate.seq_no,
        "if_primary_term": candidate.term,
    }
    if candidate.routing:
        action["routing"] = candidate.routing
    fields = neural_fields(revision.document)
    body: dict[str, Any] = {"doc": fields}
    if candidate.keeps_weights:
        params = {"names": OWN_FIELDS, "fields": fields}
        body = {"script": {"lang": "painless", "source": SCRIPT, "params": params}}
    try:
        lines = "\n".join((dumps({"update": action}), dumps(body), ""))
        return Item(position, candidate.id, lines.encode())
    except (TypeError, ValueError) as error:
        raise invalid(f"document {candidate.id!r} cannot be written: {error}", "mend its id") from error
