"""Taking our fields out of documents: by a script, or where the cluster runs none, by writing them anew."""

from __future__ import annotations

from sidecar.engines.opensearch.bulk import Sleep, Writer, rewritten
from sidecar.engines.opensearch.dialect import Dialect
from sidecar.engines.opensearch.errors import NoScripts
from sidecar.engines.opensearch.http import Http, Request, index_path
from sidecar.errors import ChercheError, Code, precondition
from sidecar.values.documents import OWN_FIELDS, WEIGHTS, Json

# In rounds, as one request over a large index would outlast every HTTP timeout.
_BATCH = 10_000
_PAGE = 500
_TIMEOUT = 600.0
_STUCK_ROUNDS = 20
# `exists` is refused on rank_features (OpenSearch 3.8.0); documents with weights have other fields of ours too.
_TOUCHED = {"bool": {"should": [{"exists": {"field": name}} for name in OWN_FIELDS if name != WEIGHTS]}}
_SCRIPT = "for (name in params.names) { ctx._source.remove(name) }"


async def strip(http: Http, dialect: Dialect, index: str, *, sleep: Sleep) -> int:
    """Take our fields out of all documents; how many were changed.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION where documents cannot be changed, or others keep writing them.
    """
    changed = stuck = 0
    scripted = True
    while stuck < _STUCK_ROUNDS:
        try:
            updated, conflicts = await (
                _by_script(http, dialect, index) if scripted else _by_writing(http, dialect, index, sleep=sleep)
            )
        except NoScripts:
            scripted = False
            continue
        if not updated and not conflicts:
            return changed
        changed, stuck = changed + updated, 0 if updated else stuck + 1
    raise precondition(
        f'index "{index}": others keep writing the documents that are to be changed',
        "stop the feed and run the command again",
    )


async def _by_script(http: Http, dialect: Dialect, index: str) -> tuple[int, int]:
    """One round: documents changed, and documents that others changed meanwhile."""
    body = {
        "query": _TOUCHED,
        "max_docs": _BATCH,
        "conflicts": "proceed",
        "script": {"lang": "painless", "source": _SCRIPT, "params": {"names": list(OWN_FIELDS)}},
    }
    # Refreshed, or the next round would find the same documents again.
    params = {"refresh": "true", "timeout": "5m"}
    if dialect.read_preference:
        params["preference"] = dialect.read_preference
    request = Request("POST", index_path(index, "_update_by_query"), body, params)
    reply = await http.send(request, what=f'index "{index}"', timeout=_TIMEOUT)
    if failures := reply.get("failures"):
        raise _unchangeable(index, len(failures), failures[0])
    return int(reply["updated"]), int(reply["version_conflicts"])


async def _by_writing(http: Http, dialect: Dialect, index: str, *, sleep: Sleep) -> tuple[int, int]:
    """One round, as `_by_script`: each document is written without our fields if it is still as it was read."""
    body = {
        "query": _TOUCHED,
        "size": _PAGE,
        "_source": {"excludes": list(OWN_FIELDS)},
        "seq_no_primary_term": True,
        "track_total_hits": False,
    }
    found = await http.send(dialect.search(index, body), what=f'index "{index}"')
    items = [rewritten(position, raw, raw.get("_source") or {}) for position, raw in enumerate(found["hits"]["hits"])]
    results = await Writer(http, "", sleep=sleep).deliver(items, len(items))
    refused = [result.error for result in results if result.error is not None]
    failures = [error for error in refused if error.code is not Code.ABORTED]
    if failures:
        raise _unchangeable(index, len(failures), failures[0])
    await http.send(Request("POST", index_path(index, "_refresh")), what=f'index "{index}"')
    return len(items) - len(refused), len(refused)


def _unchangeable(index: str, count: int, first: ChercheError | Json) -> ChercheError:
    return precondition(
        f'index "{index}": {count} documents could not be changed, first: {first}',
        "mend the cause and run the command again",
    )
