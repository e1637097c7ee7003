"""Answers of a cluster that are refusals, or not what a cluster answers."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from opensearchpy.exceptions import ConnectionError as NoConnection
from opensearchpy.exceptions import TransportError

from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.engines.opensearch.http import Http
from sidecar.values.documents import StoredDocument
from sidecar.values.index import Identity
from tests.benchmarks.faults.row import DOCUMENTS, INDEX, Row


class Tampered:
    """A cluster of one index that stores what it takes, and whose answers are changed on their way.

    Parameters
    ----------
    change : callable
        Makes of the items of a bulk what is answered; what it raises is raised.
    """

    def __init__(self, change: Callable[[list[Any], int], Any]) -> None:
        self.stored: set[str] = set()
        self._change, self.bulks = change, 0

    async def perform_request(self, method: str, url: str, *_: Any, body: Any = None, **__: Any) -> Any:
        """Answer as a cluster does, more or less."""
        if url == "/":
            return {"version": {"distribution": "opensearch", "number": "3.8.0"}}
        if "/_settings/index.uuid" in url:
            return {INDEX: {"settings": {"index.uuid": "u"}}}
        if not url.endswith("/_bulk"):
            return {INDEX: {"mappings": {}}} if method == "GET" else {"acknowledged": True}
        self.bulks += 1
        ids = [json.loads(line)["index"]["_id"] for line in body.decode().splitlines()[::2]]
        # Before anything is stored a refusal is raised, and after it a connection breaks.
        answered = self._change([{"index": {"_id": id, "status": 201}} for id in ids], self.bulks)
        if isinstance(answered, TransportError) and not isinstance(answered, NoConnection):
            raise answered
        refused = {one["index"]["_id"] for one in _items(answered) if "error" in one["index"]}
        self.stored |= set(ids) - refused
        if isinstance(answered, Exception):
            raise answered
        return answered

    async def close(self) -> None:
        """Nothing is open."""


def _items(answered: Any) -> list[Any]:
    found = answered.get("items") if isinstance(answered, dict) else None
    return [one for one in found or [] if isinstance(one, dict) and "index" in one]


def _refusal(status: int, kind: str, reason: str) -> TransportError:
    return TransportError(status, kind, {"error": {"type": kind, "reason": reason}, "status": status})


def _error(item: Any, status: int, kind: str, reason: str) -> Any:
    return {"index": {**item["index"], "status": status, "error": {"type": kind, "reason": reason}}}


BLOCK = "index [articles] blocked by: [FORBIDDEN/5/index read-only (api)];"
FLOOD = "index [articles] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, " + (
    "index has read-only-allow-delete block];"
)
BUSY = "rejected execution of primary operation"
TAMPERINGS: dict[str, Callable[[list[Any], int], Any]] = {
    "a read-only block": lambda items, _: {
        "items": [_error(one, 403, "cluster_block_exception", BLOCK) for one in items]
    },
    "the disk's flood stage": lambda items, _: {
        "items": [_error(one, 429, "cluster_block_exception", FLOOD) for one in items]
    },
    "429 twice, then none": lambda items, bulk: (
        _refusal(429, "rejected_execution_exception", BUSY) if bulk <= 2 else {"items": items}
    ),
    "429 for ever": lambda items, _: _refusal(429, "rejected_execution_exception", BUSY),
    "429 for half of the items, once": lambda items, bulk: {
        "items": [
            _error(one, 429, "rejected_execution_exception", BUSY) if bulk == 1 and place % 2 else one
            for place, one in enumerate(items)
        ]
    },
    "503": lambda items, _: _refusal(503, "cluster_manager_not_discovered_exception", "no cluster manager"),
    "a connection that breaks after the write": lambda items, _: NoConnection("N/A", "reset", OSError("reset")),
    "half an answer": lambda items, _: {"items": items[: len(items) // 2]},
    "a reordered answer": lambda items, _: {"items": random.Random(1).sample(items, len(items))},
    "a duplicated answer": lambda items, _: {"items": [one for one in items for _ in (0, 1)]},
    "an answer without items": lambda items, _: {},
    "an answer that is a list": lambda items, _: items,
    "an answer that is null": lambda items, _: None,
    "items of another form": lambda items, _: {"items": [None, *items[1:-1], "created"]},
}


async def tampered(fault: str) -> Row:
    """Write through the cluster's engine while bulk answers are changed."""
    transport = Tampered(TAMPERINGS[fault])
    engine = OpenSearchEngine(Http(transport, "http://cluster:9200", Identity(), 30.0), sleep=_no_pause)
    sources = [StoredDocument(f"d{n}", {"title": f"t{n}"}, "h", "ok") for n in range(DOCUMENTS)]
    results = await engine.write(INDEX, sources)
    row = Row(fault, sent=len(sources), errors=[one.error.code.value for one in results if one.error is not None])
    row.count((one.id for one in results if one.error is None), transport.stored)
    if not transport.bulks:
        raise SystemExit(f"{fault}: no bulk was sent: {results[0].error}")
    row.after = "every document has a result" if len(results) == len(sources) else "RESULTS ARE MISSING"
    return row


async def _no_pause(_: float) -> None:
    """Backoff takes seconds, which this does not measure."""
