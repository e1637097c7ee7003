"""The whole flow through a sidecar beside BM25 asked directly: ``make prove SECTION=flow``.

One node with `mixed` documents, each with token codes of the first of its two, and two sidecars with `cherche-tiny`,
each in a process of its own. 1, 8 and 32 clients send each way in turn, twice:

- ``bm25``: the user's own match, ten hits, sent to the node
- ``bm25 by sidecar``: the same through a sidecar
- ``hybrid``: BM25 and all term weights, ten hits
- ``hybrid + rerank``: and MaxSim over the best 100 hits
- ``hybrid + rerank, new queries``: to each text a number is added, so that no query was encoded before
- ``hybrid + rerank, no codes kept``: by a sidecar that fetches the codes of all hits each time

Then searches arrive at random times (open loop: each is sent when it is due, and timed from then), as many as half
and four fifths of what 32 clients of that way got. Then all ways but the last again beside a plain ``_bulk`` into
the same index: 200 documents a second that nobody encoded, so that a rerank may be partial. The CPU is that of the
node's process, its writes too, and that of the sidecar's, divided by the searches. The clients run on the same
cores.

``FLOW_DOCUMENTS`` is another size, ``FLOW_TEXTS`` another number of abstracts that they are made of, and with
``FLOW_IN_SOURCE=1`` weights and codes lie in the source of each document, as in an index that was there before `setup`.
With ``FLOW_KEEP=1`` and a node of ``OPENSEARCH_URL`` the index is used again. ``python -m tests.benchmarks.flow
--documents N`` prints the same.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from cherche_models import codec
from sidecar.client.client import Client
from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.engines.opensearch.http import Request
from sidecar.engines.opensearch.query import search_body
from sidecar.pipeline.text import content_hash
from sidecar.values.documents import CODES, TERMS, WEIGHTS, StoredDocument
from sidecar.values.first_stage import Query
from sidecar.values.index import IndexMeta, IndexOptions, TextField
from sidecar.values.search import SearchRequest
from tests.benchmarks.first_stage import cpu
from tests.benchmarks.mixed import SOURCES, Corpus
from tests.benchmarks.plugin import ready, served
from tests.benchmarks.process import cpu_of

INDEX = "flow"
DOCUMENTS = int(os.environ.get("FLOW_DOCUMENTS", "100000"))
TEXTS = int(os.environ.get("FLOW_TEXTS", str(SOURCES)))
IN_SOURCE = bool(int(os.environ.get("FLOW_IN_SOURCE", "0")))
KEEP = bool(int(os.environ.get("FLOW_KEEP", "0")))
SECONDS, ROUNDS = 4.0, 2
WRITES = 200  # documents a second, in four bulks
_BULKS, _WRITTEN = 4, 1000  # ids that are written again and again, so that the index does not grow meanwhile
CLIENTS = (1, 8, 32)
LOADS, LOADED = (0.5, 0.8), 3  # of what the most clients got, for so many times the seconds of a round
MODEL = ("--model", "cherche-tiny")  # that of the corpus
FIELDS = (TextField("text"),)
DIRECT = "bm25"
WAYS: Mapping[str, Mapping[str, Any]] = {
    "bm25 by sidecar": {"mode": "bm25"},
    "hybrid": {"mode": "hybrid"},
    "hybrid + rerank": {"mode": "hybrid", "rerank": True},
}
RERANKED = ("APPLIED", "PARTIAL")  # in part where a hit was written without codes
NEW, FORGETFUL = "hybrid + rerank, new queries", "hybrid + rerank, no codes kept"
_WRITE, _IN_FLIGHT = 500, 2
_POLL = 0.2  # seconds
_NUMBERS = count()
Search = Callable[[str], Awaitable[None]]


def documents(corpus: Corpus, meta: IndexMeta, count: int) -> Iterator[StoredDocument]:
    """Mixed documents with what an encoder would have stored beside them."""
    for number, mixed in enumerate(corpus.mixed(count)):
        yield StoredDocument(
            str(number),
            {"text": mixed.text},
            content_hash([mixed.text], meta.fields, meta.fingerprint),
            "ok",
            features=corpus.features(mixed.weights),
            terms=codec.pack_terms(mixed.weights),
            codes=corpus.codes[mixed.first],
        )


async def fill(engine: OpenSearchEngine, client: Client, corpus: Corpus, count: int) -> dict[str, Any]:
    """One shard, one segment; bytes on disk before, at most during, and after that merge."""
    send = partial(_send, engine)
    described = {"documents": count, "texts": len(corpus.texts), "weights_and_codes_in_source": IN_SOURCE}
    if KEEP and await _count(send) == count:
        await _merge(send)  # what was deleted at the end of an earlier run may still be there
        return {**described, "bytes": await _bytes(send), "used_again": True}
    await send("DELETE", f"/{INDEX}", ignore_unavailable="true")
    settings = {"number_of_shards": 1, "number_of_replicas": 0, "store.stats_refresh_interval": "0s"}
    mappings = {} if IN_SOURCE else {"_source": {"excludes": [WEIGHTS, TERMS, CODES]}}
    await send("PUT", f"/{INDEX}", {"settings": settings, "mappings": mappings})
    await client.setup_index(INDEX, IndexOptions(fields=FIELDS))
    meta = await engine.meta(INDEX)
    assert meta is not None
    started = time.perf_counter()
    await _write(engine, documents(corpus, meta, count))
    indexed = time.perf_counter() - started
    await send("POST", f"/{INDEX}/_flush")
    sizes = [await _bytes(send)]
    merge = asyncio.create_task(_merge(send))
    while not merge.done():
        sizes.append(await _bytes(send))
        await asyncio.sleep(_POLL)
    await merge
    return {
        **described,
        "bytes": await _bytes(send),
        "bytes_before_the_merge": sizes[0],
        "bytes_at_most_during_it": max(sizes),
        "seconds_to_index": round(indexed, 1),
    }


async def _write(engine: OpenSearchEngine, documents: Iterator[StoredDocument]) -> None:
    """All of them, two bulks at a time."""
    room = asyncio.Semaphore(_IN_FLIGHT)

    async def bulk(some: Sequence[StoredDocument]) -> None:
        try:
            failed = [result.error for result in await engine.write(INDEX, some) if result.error is not None]
            if failed:
                raise failed[0]
        finally:
            room.release()

    async with asyncio.TaskGroup() as group:
        while some := list(islice(documents, _WRITE)):
            await room.acquire()
            group.create_task(bulk(some))


async def _merge(send: Callable[..., Awaitable[Any]]) -> None:
    await send("POST", f"/{INDEX}/_forcemerge", max_num_segments="1")
    await send("POST", f"/{INDEX}/_flush")
    await send("POST", f"/{INDEX}/_refresh")


async def _count(send: Callable[..., Awaitable[Any]]) -> int:
    """Documents of the index; 0 where there is none."""
    found = await send("GET", f"/_cat/indices/{INDEX}*", format="json", h="index,docs.count")
    return sum(int(row["docs.count"] or 0) for row in found if row["index"] == INDEX)


@asynccontextmanager
async def written_to(engine: OpenSearchEngine, corpus: Corpus) -> AsyncIterator[Callable[[], int]]:
    """A plain ``_bulk`` meanwhile, whose documents are gone afterwards; yields what says how many were written."""
    send, written = partial(_send, engine), 0
    lines = [
        (json.dumps({"index": {"_id": f"plain-{number}"}}) + "\n" + json.dumps({"text": mixed.text}) + "\n").encode()
        for number, mixed in enumerate(corpus.mixed(_WRITTEN))
    ]

    async def write() -> None:
        nonlocal written
        size, next_at = WRITES // _BULKS, time.perf_counter()
        for start in cycle(range(0, _WRITTEN, size)):
            reply = await send("POST", f"/{INDEX}/_bulk", b"".join(lines[start : start + size]))
            assert not reply["errors"], reply["items"][0]
            written += size
            next_at = max(next_at + 1 / _BULKS, time.perf_counter() - 1)  # after a pause it catches up a second at most
            await asyncio.sleep(max(0.0, next_at - time.perf_counter()))

    task = asyncio.create_task(write())
    try:
        yield lambda: written
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await send("POST", f"/{INDEX}/_refresh")
        plain = {"query": {"ids": {"values": [f"plain-{number}" for number in range(_WRITTEN)]}}}
        await send("POST", f"/{INDEX}/_delete_by_query", plain, refresh="true")
        await _merge(send)


async def _bytes(send: Callable[..., Awaitable[Any]]) -> int:
    stats = await send("GET", f"/{INDEX}/_stats/store")
    return int(stats["_all"]["primaries"]["store"]["size_in_bytes"])


async def _send(engine: OpenSearchEngine, method: str, path: str, body: Any = None, **params: str) -> Any:
    return await engine._http.send(Request(method, path, body, params), what="benchmark")


def searches(engine: OpenSearchEngine, clients: Sequence[Client]) -> dict[str, Search]:
    """Each way, as a call that searches for a text; the second client's sidecar keeps no codes."""

    async def direct(text: str) -> None:
        body = search_body(Query(text, "bm25", FIELDS), ())
        reply = await _send(engine, "POST", f"/{INDEX}/_search", body)
        assert reply["hits"]["hits"]

    async def through(client: Client, given: Mapping[str, Any], text: str) -> None:
        result = await client.search(SearchRequest(INDEX, text, **given))
        assert result.hits
        assert result.rerank.status in (RERANKED if given.get("rerank") else ("NOT_REQUESTED",)), result.rerank

    async def new(text: str) -> None:
        await through(clients[0], WAYS["hybrid + rerank"], f"{text} {next(_NUMBERS)}")

    ways = {way: partial(through, clients[0], given) for way, given in WAYS.items()}
    forgetful = partial(through, clients[1], WAYS["hybrid + rerank"])
    return {DIRECT: direct, **ways, NEW: new, FORGETFUL: forgetful}


async def together(search: Search, texts: Sequence[str], clients: int, seconds: float) -> list[float]:
    """Seconds of each search of so many clients at once."""
    end, taken = time.perf_counter() + seconds, list[float]()

    async def one(number: int) -> None:
        at = number
        while (started := time.perf_counter()) < end:
            await search(texts[at % len(texts)])
            taken.append(time.perf_counter() - started)
            at += clients

    await asyncio.gather(*map(one, range(clients)))
    return taken


async def arriving(search: Search, texts: Sequence[str], rate: float, seconds: float) -> list[float]:
    """Seconds of each search from when it was due: `rate` a second, by a Poisson process."""
    rng, taken = random.Random(0), list[float]()

    async def one(text: str, due: float) -> None:
        await search(text)
        taken.append(time.perf_counter() - due)

    due = began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for text in cycle(texts):
            due += rng.expovariate(rate)
            if due - began > seconds:
                break
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(one(text, due))
    return taken


class Measured:
    """Rounds of one way with so many clients."""

    def __init__(self) -> None:
        self.taken: list[float] = []
        self.seconds = self.cluster = self.sidecar = 0.0

    def row(self) -> dict[str, float]:
        """Milliseconds; CPU of a search in the cluster and in the sidecar."""
        count = len(self.taken)
        return {
            "searches_per_second": round(count / self.seconds, 1),
            **{f"p{q}_ms": round(float(np.percentile(self.taken, q)) * 1000, 1) for q in (50, 95, 99)},
            "cluster_cpu_ms": round(self.cluster / count, 2),
            "sidecar_cpu_ms": round(self.sidecar / count * 1000, 2),
        }


async def race(
    engine: OpenSearchEngine,
    ways: Mapping[str, Search],
    pids: Sequence[int],
    texts: Sequence[str],
    seconds: float,
) -> dict[str, Any]:
    """Every number of clients, the ways in turn."""
    send = partial(_send, engine)
    for search in ways.values():
        await together(search, texts, 1, seconds)
    figures: dict[str, Any] = {}
    for callers in CLIENTS:
        found = {way: Measured() for way in ways}
        before = await cpu(send)
        for _ in range(ROUNDS):
            for way, search in ways.items():
                one, own, began = found[way], sum(map(cpu_of, pids)), time.perf_counter()
                one.taken += await together(search, texts, callers, seconds)
                one.seconds += time.perf_counter() - began
                one.sidecar += sum(map(cpu_of, pids)) - own
                after = await cpu(send)
                one.cluster += after - before
                before = after
        rows = {way: one.row() for way, one in found.items()}
        for row in rows.values():
            row["share_of_bm25"] = round(row["searches_per_second"] / rows[DIRECT]["searches_per_second"], 3)
            row["p50_over_bm25"] = round(row["p50_ms"] / rows[DIRECT]["p50_ms"], 2)
        figures[str(callers)] = rows
    return figures


async def loaded(
    ways: Mapping[str, Search], texts: Sequence[str], seconds: float, most: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    """Milliseconds of each way at shares of the searches a second that it got at most."""
    figures: dict[str, Any] = {}
    for share in LOADS:
        for way, search in ways.items():
            rate = share * most[way]["searches_per_second"]
            taken = await arriving(search, texts, rate, LOADED * seconds)
            quantiles = {f"p{q}_ms": round(float(np.percentile(taken, q)) * 1000, 1) for q in (50, 95, 99)}
            figures.setdefault(str(share), {})[way] = {
                "per_second": round(rate, 1),
                "searches": len(taken),
                **quantiles,
            }
    return figures


async def _measured(
    url: str, addresses: Sequence[str], pids: Sequence[int], documents: int, seconds: float
) -> dict[str, Any]:
    folder = os.environ.get("CHERCHE_TEST_DATA")
    if not folder:
        raise SystemExit("CHERCHE_TEST_DATA is not set: it names the folder of collections in BEIR layout")
    corpus = Corpus(Path(folder) / "scifact", TEXTS)
    engine = OpenSearchEngine.connect(url, timeout=600.0)
    try:
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(Client(address)) for address in addresses]
            for client in clients:
                await ready(client)
            index = await fill(engine, clients[0], corpus, documents)
            texts, ways = [text for text, _ in corpus.queries], searches(engine, clients)
            quiet = await race(engine, ways, pids, texts, seconds)
            open_loop = await loaded(ways, texts, seconds, quiet[str(CLIENTS[-1])])
            async with written_to(engine, corpus) as written:
                started, before = time.perf_counter(), written()
                some = {way: search for way, search in ways.items() if way != FORGETFUL}
                beside = await race(engine, some, pids, texts, seconds)
                rate = (written() - before) / (time.perf_counter() - started)
            return {
                "index": index,
                "clients": quiet,
                "open_loop": open_loop,
                "beside_writes": {"per_second": round(rate), "clients": beside},
            }
    finally:
        await engine.aclose()


def measure(documents: int = DOCUMENTS, seconds: float = SECONDS) -> dict[str, Any]:
    """Fill a node's index, and search it in each way.

    Parameters
    ----------
    documents : int
        How many.
    seconds : float
        Of each round of a way.
    """
    from tests.benchmarks.prove import cluster_url

    with (
        cluster_url() as url,
        served(url, *MODEL) as keeps,
        served(url, *MODEL, CHERCHE_LIMITS__CODES_CACHE_BYTES="0") as forgets,
    ):
        addresses, pids = zip(keeps, forgets, strict=True)
        return asyncio.run(_measured(url, addresses, pids, documents, seconds))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=DOCUMENTS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    chosen = parser.parse_args()
    print(json.dumps(measure(chosen.documents, chosen.seconds), indent=1))
