"""CPU and recall of the first stage, by how its clauses are written: ``make prove SECTION=first_stage``.

One shard of `mixed` documents on a real server, made of the first 2,000 of SciFact. The ways take turns, each with the
same queries for 100 hits; the CPU is that of the whole server over a round, since that is what runs out. Of each query
also its first one, two or three long words, which is what people type.

``nested`` has the boost around the sum of the term weights, ``folded``, which is what is sent by default, in each of
them; both score every hit exactly. ``two phases N/M`` finds M candidates by BM25 and the N heaviest terms and scores
these by all terms; ``pruned`` has the 16 heaviest terms alone. Recall is the share of the exact 100 best that a way
has among its own. ``FIRST_STAGE_DOCUMENTS`` names other sizes than 100,000 and a million documents;
with ``FIRST_STAGE_KEEP=1`` and a node of ``OPENSEARCH_URL`` indices stay and are used again, or continued.
``python -m tests.benchmarks.first_stage --documents N`` prints the same.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.engines.opensearch.http import Request
from sidecar.engines.opensearch.query import search_body
from sidecar.values.documents import WEIGHTS
from sidecar.values.first_stage import Query, SparseClause
from sidecar.values.index import Fingerprint, IndexMeta, TextField
from tests.benchmarks.mixed import SOURCES, Asked, Corpus

INDEX = "first-stage"
META = IndexMeta("cherche-tiny", Fingerprint("a" * 64, ""), (TextField("text"),), 256)
SIZES = tuple(map(int, os.environ.get("FIRST_STAGE_DOCUMENTS", "100000 1000000").split()))
KEEP = bool(int(os.environ.get("FIRST_STAGE_KEEP", "0")))
SIZE, ROUNDS = 100, 3
BOOST = 0.75
EXACT = "folded"
PHASES = ((8, 1000), (12, 1000), (16, 1000), (12, 500))
PRUNED = 16
_BULK, _IN_FLIGHT = 1000, 3
_STALE = 1.2  # seconds: the server reads its own statistics once in monitor.process.refresh_interval, 1 s
Send = Callable[..., Awaitable[Any]]
Ask = Callable[[dict[str, Any]], Awaitable[Any]]


def nested(body: dict[str, Any]) -> dict[str, Any]:
    """The same search with the boost around the sum, as it was sent before."""
    lexical, sparse = body["query"]["bool"]["should"]
    features = [one["rank_feature"] for one in sparse["bool"]["should"]]
    plain = [{"rank_feature": {**one, "boost": one["boost"] / BOOST}} for one in features]
    wrapped = {"bool": {**sparse["bool"], "should": plain, "boost": BOOST}}
    return {**body, "query": {"bool": {"should": [lexical, wrapped], "minimum_should_match": 1}}}


def bodies(text: str, clauses: tuple[SparseClause, ...]) -> dict[str, dict[str, Any]]:
    """One query, written in each way."""
    hybrid = Query(text, "hybrid", META.fields, clauses=clauses, sparse_boost=BOOST, size=SIZE, body={"_source": False})
    folded = search_body(hybrid, clauses)
    written = {"bm25": search_body(replace(hybrid, mode="bm25"), ()), "nested": nested(folded), EXACT: folded}
    for terms, candidates in PHASES:
        two = replace(hybrid, first_terms=terms, candidates=candidates)
        written[f"two phases {terms}/{candidates}"] = search_body(two, clauses)
    return {**written, "pruned": search_body(hybrid, clauses[:PRUNED])}


async def fill(engine: OpenSearchEngine, send: Send, corpus: Corpus, documents: int) -> dict[str, Any]:
    """Index the documents into one shard and merge it into one segment; a kept index is continued where it ends."""
    index, started = f"{INDEX}-{documents}", time.perf_counter()
    held = await _held(send, index) if KEEP else 0
    if not held:
        # Weights need not be read back: a million documents in the source would be gigabytes more to merge.
        source = {"excludes": [WEIGHTS], "recovery_source_excludes": [WEIGHTS]}
        settings = {"number_of_shards": 1, "number_of_replicas": 0, "refresh_interval": "-1"}
        written = {**settings, "translog.durability": "async", "translog.flush_threshold_size": "4g"}
        await send("PUT", f"/{index}", {"settings": written, "mappings": {"_source": source}})
        await engine.setup(index, META)
    if held < documents:
        await fill_index(send, index, corpus, documents, max(0, held - _IN_FLIGHT * _BULK))
    await send("POST", f"/{index}/_forcemerge", max_num_segments="1")
    await send("POST", f"/{index}/_refresh")
    stats = await send("GET", f"/{index}/_stats/store,docs,segments")
    primaries = stats["_all"]["primaries"]
    return {
        "documents": primaries["docs"]["count"],
        "segments": primaries["segments"]["count"],
        "bytes": primaries["store"]["size_in_bytes"],
        "seconds_to_prepare": round(time.perf_counter() - started, 1),
    }


async def _held(send: Send, index: str) -> int:
    """How many documents an earlier run wrote."""
    await send("POST", f"/{INDEX}-*/_refresh")
    found = await send("GET", f"/_cat/indices/{INDEX}-*", format="json", h="index,docs.count")
    return sum(int(row["docs.count"] or 0) for row in found if row["index"] == index)


async def fill_index(send: Send, index: str, corpus: Corpus, documents: int, start: int) -> None:
    """All of them from the place `start`, some bulks at a time."""
    room = asyncio.Semaphore(_IN_FLIGHT)

    async def bulk(lines: Sequence[str]) -> None:
        try:
            reply = await send("POST", f"/{index}/_bulk", ("\n".join(lines) + "\n").encode())
            if reply["errors"]:
                raise SystemExit(f"a document was refused: {reply['items'][0]}")
        finally:
            room.release()

    async with asyncio.TaskGroup() as group:
        lines = list[str]()
        for number, document in islice(enumerate(corpus.mixed(documents)), start, None):
            lines += [f'{{"index":{{"_id":"{number}"}}}}', corpus.source(document)]
            if len(lines) == 2 * _BULK or number == documents - 1:
                await room.acquire()
                group.create_task(bulk(lines))
                lines = []


async def compare(ask: Ask, queries: Sequence[Asked]) -> dict[str, Any]:
    """Whether nested and folded find the same, and what share of that, and of its best ten, each other way finds.

    Documents whose scores are equal in float32 may change places: a hit that scores as the last one counts as found.
    """
    shares: dict[str, list[tuple[float, float]]] = {}
    worst: dict[str, float] = {}
    for text, clauses in queries:
        found = {way: scores(await ask(body)) for way, body in bodies(text, clauses).items()}
        exact = found[EXACT]
        for way in found.keys() - {EXACT, "bm25"}:
            shares.setdefault(way, []).append((recall(exact, found[way], SIZE), recall(exact, found[way], 10)))
            shared = exact.keys() & found[way].keys()
            off = max((abs(exact[key] - found[way][key]) / exact[key] for key in shared), default=0.0)
            worst[way] = max(worst.get(way, 0.0), off)
    return {
        way: {
            "recall_at_100": round(float(np.mean([one for one, _ in shares[way]])), 4),
            "least_recall_at_100": round(min(one for one, _ in shares[way]), 2),
            "recall_at_10": round(float(np.mean([ten for _, ten in shares[way]])), 4),
            "largest_relative_difference_of_a_score": worst[way],
        }
        for way in sorted(shares)
    }


def scores(reply: Any) -> dict[str, float]:
    """Score by id, best first."""
    return {hit["_id"]: hit["_score"] for hit in reply["hits"]["hits"]}


def recall(exact: Mapping[str, float], found: Mapping[str, float], depth: int) -> float:
    """Share of the best `depth` that are among the best `depth` that were found."""
    best = list(exact)[:depth]
    kept = set(list(found)[:depth])
    least = exact[best[-1]] * (1 + 1e-5) if best else 0.0
    return sum(key in kept or exact[key] <= least for key in best) / len(best) if best else 1.0


async def search(send: Send, index: str, body: dict[str, Any]) -> Any:
    """Search with named scores, as the sidecar does."""
    return await send("POST", f"/{index}/_search", body, include_named_queries_score="true", request_cache="false")


async def cpu(send: Send) -> int:
    """Milliseconds of CPU that the server's process has had."""
    await asyncio.sleep(_STALE)
    nodes = (await send("GET", "/_nodes/stats/process"))["nodes"]
    return sum(int(node["process"]["cpu"]["total_in_millis"]) for node in nodes.values())


async def race(send: Send, ask: Ask, queries: Sequence[Asked], rounds: int) -> dict[str, dict[str, Any]]:
    """CPU and time of each way; the first round only warms up."""
    written = [bodies(text, clauses) for text, clauses in queries]
    used: dict[str, list[float]] = {way: [] for way in written[0]}
    took: dict[str, list[float]] = {way: [] for way in written[0]}
    before = await cpu(send)
    for number in range(rounds + 1):
        for way in written[0]:
            times = []
            for one in written:
                started = time.perf_counter()
                await ask(one[way])
                times.append((time.perf_counter() - started) * 1000)
            after = await cpu(send)
            if number:
                used[way].append((after - before) / len(written))
                took[way] += times
            before = after
    return {
        way: {
            "cpu_ms": round(statistics.median(used[way]), 2),
            "cpu_ms_of_each_round": [round(value, 2) for value in used[way]],
            **{f"p{q}_ms": round(float(np.percentile(took[way], q)), 1) for q in (50, 95, 99)},
        }
        for way in used
    }


async def _measured(url: str, corpus: Corpus, documents: int, rounds: int) -> dict[str, Any]:
    engine = OpenSearchEngine.connect(url, timeout=600.0)

    async def send(method: str, path: str, body: Any = None, **params: str) -> Any:
        return await engine._http.send(Request(method, path, body, params), what="benchmark")

    ask = partial(search, send, f"{INDEX}-{documents}")
    try:
        index = await fill(engine, send, corpus, documents)
        try:
            compared = await compare(ask, corpus.queries)
            raced = {name: await race(send, ask, queries, rounds) for name, queries in corpus.groups.items()}
        finally:
            if not KEEP:
                await send("DELETE", f"/{INDEX}-{documents}")
    finally:
        await engine.aclose()
    return {
        "index": index,
        "ways": {
            name: {
                "searches": len(queries),
                "terms_of_a_query": round(float(np.mean([len(clauses) for _, clauses in queries])), 1),
                **raced[name],
            }
            for name, queries in corpus.groups.items()
        },
        "compared_with_exact": {"searches": len(corpus.queries), **compared},
    }


def measure(sizes: Sequence[int] = SIZES, rounds: int = ROUNDS) -> dict[str, Any]:
    """Build an index of each size and let the ways take turns.

    Parameters
    ----------
    sizes : sequence of int
        Documents.
    rounds : int
        Rounds that count; one more comes first.
    """
    from tests.benchmarks.prove import cluster_url

    folder = os.environ.get("CHERCHE_TEST_DATA")
    if not folder:
        raise SystemExit("CHERCHE_TEST_DATA is not set: it names the folder of collections in BEIR layout")
    corpus = Corpus(Path(folder) / "scifact")
    with cluster_url() as url:
        found = {str(size): asyncio.run(_measured(url, corpus, size, rounds)) for size in sizes}
    figures: dict[str, Any] = {
        "documents": f"mixed of two of the first {SOURCES:,} texts of SciFact, one shard, one segment",
        "hits": SIZE,
        "sizes": found,
    }
    return figures if len(sizes) == 1 else {**figures, "cpu_ms_for_a_million_documents_more": slopes(found)}


def slopes(found: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """How the CPU of a search grows from the smallest index to the largest."""
    small, large = min(found, key=int), max(found, key=int)
    more = (int(large) - int(small)) / 1e6
    groups = found[small]["ways"]
    return {
        group: {
            way: round((found[large]["ways"][group][way]["cpu_ms"] - row["cpu_ms"]) / more, 1)
            for way, row in groups[group].items()
            if isinstance(row, dict)
        }
        for group in groups
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, nargs="+", default=SIZES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    chosen = parser.parse_args()
    print(json.dumps(measure(chosen.documents, chosen.rounds), indent=1))
