"""A thousand searches at once through the plugin, and sidecars that answer as none may: ``make prove SECTION=crowd``.

One node with the plugin (``make plugin`` first) and a small heap, a sidecar with the shipped model, SciFact. All
searches of a round are sent at the same moment, each on a connection of its own:

- ``plain``: the user's own query, no pipeline
- ``known``: through the pipeline, queries that the plugin has encoded before
- ``new``: through the pipeline, queries that nobody asked before, under the plugin's usual deadlines
- one round for each way of `tests.benchmarks.hostile`, half of the queries known and half new

Every search must be answered: with hits, or refused by the cluster with 429. The heap is read after a collection,
before and after each kind, so that what is kept shows, and the node is asked meanwhile for its queue and its breakers.
Needs CHERCHE_TEST_DATA, Maven and a JDK.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import numpy as np

from sidecar.client.client import Client
from sidecar.cluster import Nodes, running_nodes
from sidecar.cluster.places import java_home, server_user
from sidecar.values.documents import SourceDocument
from sidecar.values.index import IndexOptions
from tests.benchmarks.hostile import WAYS, hostile
from tests.benchmarks.plugin import built, corpus, queries, ready, send, sidecar

INDEX = "crowd"
CROWD, ROUNDS, DOCUMENTS = 1000, 3, 400
HEAP = "512m"
LOOK = 0.2
PATIENCE = 120.0
"""Seconds after which a search is given up, and has failed."""
KEPT_MIB = 64.0
"""MiB that the heap may hold more after a kind of searches: caches of the node and of Lucene among them."""


@dataclass
class Round:
    """What became of the searches of one kind."""

    seconds: list[float] = field(default_factory=list)
    http: Counter[int] = field(default_factory=Counter)
    queries: Counter[str] = field(default_factory=Counter)
    reranks: Counter[str] = field(default_factory=Counter)
    without_hits: int = 0

    def summary(self) -> dict[str, Any]:
        """Counts and milliseconds of those that were answered."""
        took = {f"p{q}": round(float(np.percentile(self.seconds, q)) * 1000) for q in (50, 99)} if self.seconds else {}
        return {
            "searches": self.http.total(),
            "answered": self.http[200],
            "refused by the cluster (429)": self.http[429],
            "failed": self.http.total() - self.http[200] - self.http[429],
            "without hits": self.without_hits,
            "query_status": dict(self.queries.most_common()),
            "rerank_status": dict(self.reranks.most_common()),
            "milliseconds": took,
        }


def body(text: str, *, through: bool) -> dict[str, Any]:
    """A search of a user, with or without the pipeline."""
    match = {"multi_match": {"query": text, "fields": ["title", "text"], "tie_breaker": 0.5}}
    processors = {
        "request_processors": [{"cherche_query": {"rerank": True, "match_set": "union"}}],
        "response_processors": [{"cherche_rerank": {}}],
    }
    return {"query": match, "_source": False, **({"search_pipeline": processors} if through else {})}


async def at_once(url: str, bodies: Sequence[dict[str, Any]], found: Round) -> None:
    """Send all, each on a connection of its own."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    patience = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(connector=connector, timeout=patience) as session:

        async def one(asked: dict[str, Any]) -> None:
            started = time.perf_counter()
            try:
                async with session.post(f"{url}/{INDEX}/_search", json=asked) as reply:
                    answer = await reply.json()
            except (aiohttp.ClientError, TimeoutError):
                found.http[0] += 1
                return
            found.http[reply.status] += 1
            if reply.status != 200:
                return
            found.seconds.append(time.perf_counter() - started)
            found.without_hits += not answer["hits"]["hits"]
            if said := answer.get("ext", {}).get("cherche"):
                found.queries[said["query_status"]] += 1
                found.reranks[said["rerank_status"]] += 1

        await asyncio.gather(*map(one, bodies))


@dataclass(frozen=True, slots=True)
class Reading:
    """What a node says of itself; its account of the heap may be a second old."""

    at: int
    heap: float
    queue: int
    rejected: int
    reserved: float
    tripped: int
    paused: int


class Node:
    """A node that is looked at."""

    def __init__(self, url: str, pid: int) -> None:
        self.url, self._pid = url, pid
        user = server_user()
        self._as = [] if user is None else ["setpriv", f"--reuid={user.uid}", f"--regid={user.gid}", "--clear-groups"]

    def reading(self) -> Reading:
        """Heap with its garbage, searches that wait, bytes that reranks have reserved."""
        [node] = send(self.url, "GET", "/_nodes/stats/jvm,thread_pool,breaker")["nodes"].values()
        [own] = send(self.url, "GET", "/_plugins/_cherche/stats")["nodes"].values()
        pool, breaker = node["thread_pool"]["search"], node["breakers"]["cherche_rerank"]
        return Reading(
            node["jvm"]["timestamp"],
            node["jvm"]["mem"]["heap_used_in_bytes"] / 2**20,
            pool["queue"],
            pool["rejected"],
            breaker["estimated_size_in_bytes"] / 2**20,
            breaker["tripped"],
            own["breaker_opened"],
        )

    def collected(self) -> Reading:
        """As `reading`, after a collection."""
        jcmd = str(java_home(os.environ) / "bin" / "jcmd")
        subprocess.run([*self._as, jcmd, str(self._pid), "GC.run"], check=True, capture_output=True)
        done = time.time() * 1000
        while (found := self.reading()).at <= done:
            time.sleep(LOOK)
        return found


@asynccontextmanager
async def watched(node: Node, record: dict[str, Any]) -> AsyncIterator[None]:
    """Note the node before, at its most, and after."""
    before = await asyncio.to_thread(node.collected)
    seen, ended = [before], asyncio.Event()

    async def look() -> None:
        while not ended.is_set():
            seen.append(await asyncio.to_thread(node.reading))
            await asyncio.sleep(LOOK)

    watching = asyncio.create_task(look())
    try:
        yield
    finally:
        ended.set()
        await watching
    after = await asyncio.to_thread(node.collected)
    heaps = {"before": before.heap, "most": max(one.heap for one in seen), "after": after.heap}
    record["heap_mib"] = {name: round(value, 1) for name, value in heaps.items()}
    record["searches waiting for a thread, at most"] = max(one.queue for one in seen)
    record["searches refused by the queue"] = after.rejected - before.rejected
    record["calls paused, times"] = after.paused - before.paused
    record["reserved for reranks, MiB at most"] = round(max(one.reserved for one in seen), 1)
    record["reserved for reranks, MiB after"] = round(after.reserved, 1)
    record["reservations refused"] = after.tripped - before.tripped


async def kind(node: Node, rounds: Sequence[Sequence[dict[str, Any]]]) -> dict[str, Any]:
    """Figures of some rounds of one kind."""
    found, record = Round(), dict[str, Any]()
    async with watched(node, record):
        for bodies in rounds:
            await at_once(node.url, bodies, found)
    return {**found.summary(), **record}


async def fed(url: str, address: str) -> None:
    """An index, and a plugin that knows its sidecar."""
    async with Client(address) as client:
        await ready(client)
        await client.setup_index(INDEX, IndexOptions())

        async def stream() -> AsyncIterator[SourceDocument]:
            for id, raw in corpus(DOCUMENTS):
                yield SourceDocument(id, raw)

        async for result in client.index_documents(INDEX, stream(), refresh=True):
            if result.error is not None:
                raise result.error


def settle(url: str, **values: object) -> None:
    """Settings of the plugin; None resets one."""
    named = {f"plugins.cherche.{name.replace('__', '.')}": value for name, value in values.items()}
    send(url, "PUT", "/_cluster/settings", {"persistent": named})


async def measured(nodes: Nodes) -> dict[str, Any]:
    """All kinds, on a running node."""
    [url], [pid] = nodes.urls, nodes.pids
    node, texts = Node(url, pid), queries()
    many = [texts[n % len(texts)] for n in range(CROWD)]
    with sidecar(url) as address:
        await fed(url, address)
        settle(url, endpoints=[address], query__deadline="60s", rerank__deadline="60s")
        for text in texts:  # encoded once, one after another
            await asyncio.to_thread(send, url, "POST", f"/{INDEX}/_search", body(text, through=True))
        settle(url, query__deadline=None, rerank__deadline=None)
        known = [body(text, through=True) for text in many]
        figures = {"plain": await kind(node, [[body(text, through=False) for text in many]] * ROUNDS)}
        figures["known"] = await kind(node, [known] * ROUNDS)
        new = [[body(f"{text} {turn} {n}", through=True) for n, text in enumerate(many)] for turn in range(ROUNDS)]
        figures["new"] = await kind(node, new)
    settle(url, breaker__failures=1_000_000)
    for way in WAYS:
        async with hostile(way) as address:
            settle(url, endpoints=[address])
            odd = [one if n % 2 else body(f"{many[n]} {way} {n}", through=True) for n, one in enumerate(known)]
            figures[f"hostile: {way}"] = await kind(node, [odd])
    return figures


def measure() -> dict[str, Any]:
    """Section ``crowd`` of the proofs; a search that failed, or a heap that keeps what came, stops the run."""
    with running_nodes(1, HEAP, [built(None)]) as nodes:
        figures = asyncio.run(measured(nodes))
    print(json.dumps(figures, indent=1))
    for name, found in figures.items():
        heap = found["heap_mib"]
        if found["failed"] or found["without hits"]:
            raise SystemExit(f"{name}: {found['failed']} searches failed, {found['without hits']} found nothing")
        if heap["after"] - heap["before"] > KEPT_MIB:
            raise SystemExit(f"{name}: the heap keeps {heap['after'] - heap['before']:.0f} MiB")
    return {"searches at once": CROWD, "rounds": ROUNDS, "documents": DOCUMENTS, "heap": HEAP, "kinds": figures}
