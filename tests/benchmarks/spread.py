"""The first stage over three nodes and six shards with a replica: ``make prove SECTION=spread``.

100,000 `mixed` documents (``SPREAD_DOCUMENTS``), each shard merged into one segment. Windows of candidates are of each
shard, so recall is measured here too, against the exact search of the same six shards, as in `first_stage`. Then two
clients search, exactly and in two phases in turn: first with nothing beside them, then beside a ``_bulk`` of 200
documents a second, then a node that holds a primary is killed meanwhile, and it returns. What was acknowledged is
counted at the end, and every copy must be there. All three nodes and the clients share the cores. Needs
CHERCHE_TEST_DATA, and Maven and a JDK.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from sidecar.cluster import Nodes, running_nodes
from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.errors import ChercheError
from sidecar.values.documents import WEIGHTS
from tests.benchmarks.first_stage import EXACT, META, ROUNDS, SIZE, Send, bodies, compare, fill_index, race, search
from tests.benchmarks.mixed import Corpus
from tests.integration.nodes.copies import engine_of, green, node_of, send

INDEX = "spread"
DOCUMENTS = int(os.environ.get("SPREAD_DOCUMENTS", "100000"))
NODES, SHARDS, REPLICAS, HEAP = 3, 6, 1, "1g"
CALLED = "node-1"
"""The node that is asked and written to; another one is lost."""
WAYS = (EXACT, "two phases 16/1000")
SECONDS, CLIENTS = 20.0, 2
BULK, BULKS = 50, 4  # of so many documents, so many a second
Body = dict[str, Any]


async def fill(engine: OpenSearchEngine, ask: Send, corpus: Corpus, documents: int) -> dict[str, Any]:
    """Six shards with their copies, each of one segment."""
    settings = {"number_of_shards": SHARDS, "number_of_replicas": REPLICAS, "refresh_interval": "1s"}
    source = {"excludes": [WEIGHTS]}
    await ask("PUT", f"/{INDEX}", {"settings": settings, "mappings": {"_source": source}})
    await engine.setup(INDEX, META)
    started = time.perf_counter()
    await fill_index(ask, INDEX, corpus, documents, 0)
    indexed = time.perf_counter() - started
    await ask("POST", f"/{INDEX}/_forcemerge", max_num_segments="1")
    await ask("POST", f"/{INDEX}/_refresh")
    await green(engine, INDEX)
    primaries = (await ask("GET", f"/{INDEX}/_stats/store,docs,segments"))["_all"]["primaries"]
    return {
        "documents": primaries["docs"]["count"],
        "nodes": NODES,
        "shards": SHARDS,
        "replicas": REPLICAS,
        "segments_of_primaries": primaries["segments"]["count"],
        "bytes_of_primaries": primaries["store"]["size_in_bytes"],
        "documents_written_per_second": round(documents / indexed),
    }


class Searched:
    """What became of the searches of a while."""

    def __init__(self) -> None:
        self.taken: dict[str, list[float]] = {way: [] for way in WAYS}
        self.outcomes: Counter[str] = Counter()

    async def ask(self, ask: Callable[[Body], Awaitable[Any]], way: str, body: Body) -> None:
        """One search; what fails is counted, and so are answers of some shards alone."""
        started = time.perf_counter()
        try:
            shards = (await ask(body))["_shards"]
            self.outcomes["whole" if shards["successful"] == shards["total"] else "of some shards"] += 1
        except ChercheError as error:
            self.outcomes[str(error.code)] += 1
        self.taken[way].append(1000 * (time.perf_counter() - started))

    def summary(self) -> dict[str, Any]:
        """Milliseconds by way."""
        rows = {
            way: {
                "searches": len(taken),
                **{f"p{q}_ms": round(float(np.percentile(taken, q)), 1) for q in (50, 95, 99)},
            }
            for way, taken in self.taken.items()
        }
        return {"outcomes": dict(self.outcomes), **rows}


async def searched(
    ask: Callable[[Body], Awaitable[Any]], asked: Sequence[Body], until: asyncio.Event
) -> dict[str, Any]:
    """Closed loops of some clients, the ways in turn, until it is over."""
    found, bodies_ = Searched(), cycle(asked)

    async def client() -> None:
        while not until.is_set():
            for way in WAYS:
                await found.ask(ask, way, next(bodies_)[way])

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return found.summary()


@asynccontextmanager
async def writing(ask: Send, corpus: Corpus, start: int) -> AsyncIterator[Counter[str]]:
    """Documents beyond the first `start`, bulk after bulk; yields how many were acknowledged and how many not."""
    counted, lines = Counter[str](), islice(enumerate(corpus.mixed(start + 1_000_000)), start, None)

    async def write() -> None:
        next_at = time.perf_counter()
        while some := list(islice(lines, BULK)):
            next_at = max(next_at + 1 / BULKS, time.perf_counter() - 1)  # after a pause it catches up a second at most
            await asyncio.sleep(max(0.0, next_at - time.perf_counter()))
            body = [f'{{"index":{{"_id":"{number}"}}}}\n{corpus.source(one)}\n' for number, one in some]
            try:
                reply = await ask("POST", f"/{INDEX}/_bulk", "".join(body).encode())
            except ChercheError as error:
                counted[f"bulk {error.code}"] += 1
                continue
            counted.update("refused" if "error" in item["index"] else "acknowledged" for item in reply["items"])

    task = asyncio.create_task(write())
    try:
        yield counted
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def lost(nodes: Nodes, engine: OpenSearchEngine, corpus: Corpus, documents: int) -> dict[str, Any]:
    """Searches with nothing beside them, beside writes, beside writes while a node is lost, and after its return."""
    ask = partial(send, engine)
    asked = [bodies(text, clauses) for text, clauses in corpus.queries]
    found: dict[str, Any] = {}

    async def while_(name: str, work: Awaitable[Any]) -> None:
        over = asyncio.Event()
        searching = asyncio.create_task(searched(partial(search, ask, INDEX), asked, over))
        began = time.perf_counter()
        await work
        over.set()
        found[name] = {**await searching, "seconds": round(time.perf_counter() - began, 1)}
        print(name, found[name], file=sys.stderr, flush=True)

    async def kill() -> None:
        holders = {await node_of(engine, INDEX, primary=True, shard=shard) for shard in range(SHARDS)}
        [name, *_] = sorted(holders - {CALLED})
        gone.append(name)
        await asyncio.to_thread(nodes.kill, name)
        await asyncio.sleep(SECONDS)

    async def return_() -> None:
        await asyncio.to_thread(nodes.start, gone.pop())
        await green(engine, INDEX)

    gone: list[str] = []
    await while_("quiet", asyncio.sleep(SECONDS))
    async with writing(ask, corpus, documents) as counted:
        await while_("beside writes", asyncio.sleep(SECONDS))
        await while_("beside writes, a node is lost", kill())
        await while_("beside writes, it returns", return_())
    await ask("POST", f"/{INDEX}/_refresh")
    await green(engine, INDEX)
    held = (await ask("GET", f"/{INDEX}/_count"))["count"]
    return {
        **found,
        "writes": dict(counted),
        "acknowledged_but_missing": max(0, documents + counted["acknowledged"] - held),
    }


async def _measured(nodes: Nodes, corpus: Corpus, documents: int, rounds: int) -> dict[str, Any]:
    async with engine_of(nodes, CALLED) as engine:
        ask = partial(send, engine)
        index = await fill(engine, ask, corpus, documents)
        compared = await compare(partial(search, ask, INDEX), corpus.queries)
        queries = corpus.groups["queries"]
        raced = await race(ask, partial(search, ask, INDEX), queries, rounds)
        return {
            "index": index,
            "ways": raced,
            "compared_with_exact": {"searches": len(corpus.queries), **compared},
            "a_node_lost": await lost(nodes, engine, corpus, documents),
        }


def measure(documents: int = DOCUMENTS, rounds: int = ROUNDS) -> dict[str, Any]:
    """Section ``spread`` of the proofs."""
    folder = os.environ.get("CHERCHE_TEST_DATA")
    if not folder:
        raise SystemExit("CHERCHE_TEST_DATA is not set: it names the folder of collections in BEIR layout")
    corpus = Corpus(Path(folder) / "scifact")
    with running_nodes(NODES, HEAP) as nodes:
        return {"hits": SIZE, "clients": CLIENTS, **asyncio.run(_measured(nodes, corpus, documents, rounds))}
