"""An index whose token codes are made on demand beside one that stores them all: ``make prove SECTION=on_demand``.

SciFact with `cherche-tiny` on one node, twice, and one sidecar. Bytes of both indices; then the test queries in random
order, `PAUSE` seconds apart, each asked of both, the first by turns: hits of the window that no window had before, hits
that were ranked without codes, and milliseconds, by tenths of the log. Then the same queries once more, when nothing
waits to be written, and bytes again. ``ON_DEMAND_DOCUMENTS`` takes fewer documents.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from cherche_models.evaluate import Collection, read
from sidecar.client.client import Client
from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.engines.opensearch.http import Request
from sidecar.values.documents import CODES, SourceDocument
from sidecar.values.index import IndexOptions, TextField
from sidecar.values.search import SearchRequest, SearchResult
from tests.benchmarks.plugin import ready, served

STORED, ON_DEMAND = "codes-stored", "codes-on-demand"
DOCUMENTS = int(os.environ.get("ON_DEMAND_DOCUMENTS", "0"))  # 0 for all
MODEL = "cherche-tiny"
PAUSE = 0.5
WINDOW, PARTS = 100, 10
_STILL = 3.0  # seconds without a write


async def filled(client: Client, engine: OpenSearchEngine, index: str, collection: Collection, codes: str) -> int:
    """Feed a collection, merge it, and say how many bytes it takes."""
    send = partial(_send, engine)
    await send("DELETE", f"/{index}", ignore_unavailable="true")
    fields = (TextField("title"), TextField("text"))
    await client.setup_index(index, IndexOptions(model=MODEL, fields=fields, codes=codes))

    async def documents() -> AsyncIterator[SourceDocument]:
        for id, document in islice(collection.documents.items(), DOCUMENTS or None):
            yield SourceDocument(id, json.dumps({name: document.get(name, "") for name in ("title", "text")}).encode())

    async for result in client.index_documents(index, documents()):
        assert result.error is None, result.error
    return await merged(engine, index)


async def merged(engine: OpenSearchEngine, index: str) -> int:
    """Bytes of an index in one segment."""
    send = partial(_send, engine)
    await send("POST", f"/{index}/_forcemerge", max_num_segments="1")
    await send("POST", f"/{index}/_refresh")
    shards = (await send("GET", f"/{index}/_segments"))["indices"][index]["shards"]
    return sum(one["size_in_bytes"] for copies in shards.values() for one in copies[0]["segments"].values())


async def with_codes(engine: OpenSearchEngine, index: str) -> int:
    """Documents that have codes."""
    reply = await _send(engine, "POST", f"/{index}/_count", {"query": {"exists": {"field": CODES}}})
    return int(reply["count"])


async def asked(client: Client, index: str, text: str) -> tuple[SearchResult, float]:
    """The whole window, and milliseconds."""
    started = time.perf_counter()
    result = await client.search(SearchRequest(index, text, rerank=True, rerank_window=WINDOW, size=WINDOW))
    return result, (time.perf_counter() - started) * 1000


async def log(client: Client, texts: Sequence[str], pause: float) -> list[dict[str, float]]:
    """A row for each part of a query log."""
    seen, rows = set[str](), list[dict[str, float]]()
    for number, text in enumerate(texts):
        # Encoded before either is asked: the query is no part of the comparison.
        await client.search(SearchRequest(STORED, text, size=1))
        order = (STORED, ON_DEMAND) if number % 2 else (ON_DEMAND, STORED)
        found = {index: await asked(client, index, text) for index in order}
        result, taken = found[ON_DEMAND]
        ids = {hit.id for hit in result.hits}
        rows.append(
            {
                "hits": len(ids),
                "cold": len(ids - seen),
                "unranked": result.rerank.codes_missing,
                "ms": taken,
                "stored_ms": found[STORED][1],
            }
        )
        seen |= ids
        await asyncio.sleep(pause)  # what a log of searches has between them
    return rows


def summed(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Shares of hits, and milliseconds, of some searches."""
    hits = sum(row["hits"] for row in rows)
    shares = {f"{name}_share": round(sum(row[name] for row in rows) / hits, 4) for name in ("cold", "unranked")}
    times = {
        f"{name}_p{q}": round(float(np.percentile([row[name] for row in rows], q)), 1)
        for name in ("ms", "stored_ms")
        for q in (50, 95)
    }
    return {"searches": len(rows), **shares, **times}


async def still(engine: OpenSearchEngine, index: str) -> int:
    """Documents with codes, once their number has not changed for a while."""
    count, since = -1, time.perf_counter()
    while time.perf_counter() - since < _STILL:
        await _send(engine, "POST", f"/{index}/_refresh")
        now = await with_codes(engine, index)
        if now != count:
            count, since = now, time.perf_counter()
        await asyncio.sleep(0.2)
    return count


async def _measured(url: str, address: str, collection: Collection) -> dict[str, Any]:
    engine = OpenSearchEngine.connect(url, timeout=600.0)
    texts = [collection.queries[query] for query in sorted(collection.qrels)]
    random.Random(0).shuffle(texts)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(engine.aclose)
        client = await stack.enter_async_context(Client(address))
        await ready(client)
        bytes_stored = await filled(client, engine, STORED, collection, "stored")
        bytes_cold = await filled(client, engine, ON_DEMAND, collection, "on-demand")
        rows = await log(client, texts, PAUSE)
        coded = await still(engine, ON_DEMAND)
        again = await log(client, texts, 0.0)
        parts = np.array_split(np.arange(len(rows)), PARTS)
        after = await merged(engine, ON_DEMAND)
        return {
            "model": MODEL,
            "documents": await with_codes(engine, STORED),
            "pause_s": PAUSE,
            "bytes": {
                "stored": bytes_stored,
                "on_demand": bytes_cold,
                "after_the_log": after,
            },
            "documents_with_codes_after_the_log": coded,
            "log": [summed([rows[at] for at in part]) for part in parts if len(part)],
            "whole_log": summed(rows),
            # Every hit was in a window before.
            "again": {name: value for name, value in summed(again).items() if name != "cold_share"},
        }


async def _send(engine: OpenSearchEngine, method: str, path: str, body: Any = None, **params: str) -> Any:
    return await engine._http.send(Request(method, path, body, params), what="benchmark", timeout=600.0)


def measure() -> dict[str, Any]:
    """Fill a node, and ask the queries."""
    from tests.benchmarks.prove import cluster_url, collection

    data = read(Path(collection("scifact")))
    with cluster_url() as url, served(url, "--model", MODEL) as (address, _):
        return asyncio.run(_measured(url, address, data))


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
