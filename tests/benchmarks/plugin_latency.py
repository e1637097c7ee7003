"""What a rerank costs inside the cluster: ``python -m tests.benchmarks.plugin_latency``.

One node with the plugin (``make plugin`` first), one sidecar with the shipped model, SciFact. Every query is searched
in turn, on the same node and one after another, so that a neighbour's load falls on all:

- ``user``: the user's own match, ten hits, no pipeline
- ``first_stage``: the query that the plugin makes of it, ten hits, sent by the client, no pipeline
- ``window``: the same with as many hits as the window: what any rerank outside the query phase must fetch
- ``shards``: through the pipeline, MaxSim on the shards (the default)
- ``sidecar``: through the pipeline, the window's codes sent to the sidecar
- ``at_once``: the same, with a sidecar whose reranker answers at once: what the plugin itself costs

The queries are known to the plugin before, so that no figure holds the encoding. Then 1, 8 and 32 clients send
``shards`` and ``sidecar`` in turn. Prints JSON and writes it to ``results/plugin_latency.json``. Needs
CHERCHE_TEST_DATA, Maven and a JDK.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import numpy as np

from sidecar.client.client import Client
from sidecar.cluster import running_cluster
from sidecar.pb.cherche.v1 import plugin_pb2 as pb
from sidecar.pb.cherche.v1 import plugin_pb2_grpc
from sidecar.values.documents import SourceDocument
from sidecar.values.index import IndexOptions
from tests.benchmarks.at_once import at_once
from tests.benchmarks.machine import machine
from tests.benchmarks.plugin import built, corpus, queries, ready, send, sidecar, write

INDEX = "latency"
CLIENTS = (1, 8, 32)
ROUTES = ("shards", "sidecar")
# So that a page of 100 hits is no more to send than one of ten.
ONLY = "filter_path=hits.hits._id,hits.hits._score,ext"
Body = Mapping[str, Any]


class Connection:
    """One client's connection, kept open."""

    def __init__(self, url: str) -> None:
        self._http = HTTPConnection(urlsplit(url).netloc, timeout=60)

    def search(self, body: Body) -> tuple[bytes, float]:
        """Reply and seconds."""
        data = json.dumps(body).encode()
        started = time.perf_counter()
        self._http.request("POST", f"/{INDEX}/_search?{ONLY}", data, {"content-type": "application/json"})
        reply = self._http.getresponse()
        text = reply.read()
        took = time.perf_counter() - started
        if reply.status != 200:
            raise SystemExit(f"the search failed: {text[:2000].decode()}")
        return text, took


def bodies(text: str, clause: bytes) -> dict[str, Body]:
    """The searches of one text."""
    match = {"multi_match": {"query": text, "fields": ["title", "text"], "tie_breaker": 0.5}}
    both = {"bool": {"should": [match, json.loads(clause)], "minimum_should_match": 1}}
    routes = {name: {"query": match, "search_pipeline": pipeline(name)} for name in ROUTES}
    return {"user": {"query": match}, "first_stage": {"query": both}, "window": {"query": both, "size": 100}, **routes}


def pipeline(route: str) -> Body:
    """Search pipeline of one route, as a request carries it."""
    return {
        "request_processors": [{"cherche_query": {"rerank": True, "match_set": "union", "maxsim": route}}],
        "response_processors": [{"cherche_rerank": {}}],
    }


async def clauses(address: str, meta: bytes, texts: Sequence[str]) -> list[bytes]:
    """The sparse clause of every text, as the plugin gets it."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = plugin_pb2_grpc.PluginServiceStub(channel)  # type: ignore[no-untyped-call]  # generated code
        requests = [pb.PrepareQueryRequest(meta_json=meta, text=text, max_clauses=896) for text in texts]
        return [(await stub.PrepareQuery(request)).clause_json for request in requests]


async def prepared(url: str, address: str, count: int, documents: int) -> list[dict[str, Body]]:
    """Feed the index, and make the plugin remember the queries."""
    async with Client(address) as client:
        await ready(client)
        await client.setup_index(INDEX, IndexOptions())

        async def stream() -> Any:
            for id, raw in corpus(documents):
                yield SourceDocument(id, raw)

        async for result in client.index_documents(INDEX, stream(), refresh=True):
            if result.error is not None:
                raise result.error
    send(url, "POST", f"/{INDEX}/_forcemerge?max_num_segments=1")
    mapping = send(url, "GET", f"/{INDEX}/_mapping")[INDEX]["mappings"]
    texts = queries()[:count]
    found = await clauses(address, json.dumps(mapping["_meta"]["cherche"]).encode(), texts)
    return [bodies(text, clause) for text, clause in zip(texts, found, strict=True)]


def alone(url: str, searches: Sequence[Mapping[str, Body]], rounds: int) -> dict[str, Any]:
    """One client, all searches in turn; the first round warms up and is not counted."""
    connection = Connection(url)
    took: dict[str, list[float]] = {name: [] for name in searches[0]}
    same, statuses = [], set()
    for round_ in range(rounds + 1):
        for number, each in enumerate(searches):
            start = number % len(each)
            names = list(each)[start:] + list(each)[:start]
            replies = {}
            for name in names:
                replies[name], seconds = connection.search(each[name])
                if round_:
                    took[name].append(seconds)
            pages = [json.loads(replies[route]) for route in ROUTES]
            same.append(order(pages[0]) == order(pages[1]))
            statuses |= {page["ext"]["cherche"]["rerank_status"] for page in pages}
    return {
        "milliseconds": {name: percentiles(each) for name, each in took.items()},
        "added_to_first_stage_ms": {name: paired(took[name], took["first_stage"]) for name in ("window", *ROUTES)},
        "added_to_window_ms": {name: paired(took[name], took["window"]) for name in ROUTES},
        "same_page_on_both_routes": float(np.mean(same)),
        "rerank_statuses": sorted(statuses),
    }


def without_rerank(url: str, searches: Sequence[Mapping[str, Body]], rounds: int) -> dict[str, Any]:
    """The same window searched with and without the plugin, while the reranker answers at once."""
    connection = Connection(url)
    took: dict[str, list[float]] = {"window": [], "sidecar": []}
    statuses = set()
    for round_ in range(rounds + 1):
        for number, each in enumerate(searches):
            for name in ("window", "sidecar")[:: 1 if number % 2 else -1]:
                reply, seconds = connection.search(each[name])
                if name == "sidecar":
                    statuses.add(json.loads(reply)["ext"]["cherche"]["rerank_status"])
                if round_:
                    took[name].append(seconds)
    if statuses != {"APPLIED"}:
        raise SystemExit(f"not every page was reranked at once: {sorted(statuses)}")
    return {
        "milliseconds": {name: percentiles(each) for name, each in took.items()},
        "added_to_window_ms": paired(took["sidecar"], took["window"]),
    }


def order(page: Mapping[str, Any]) -> list[str]:
    """Ids of a page."""
    return [hit["_id"] for hit in page["hits"]["hits"]]


def paired(one: Sequence[float], other: Sequence[float]) -> dict[str, float]:
    """Milliseconds more, search by search."""
    return percentiles(list(np.subtract(one, other)))


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Milliseconds."""
    return {f"p{q}": round(float(np.percentile(seconds, q)) * 1000, 2) for q in (50, 95, 99)}


def together(url: str, searches: Sequence[Mapping[str, Body]], clients: int, seconds: float) -> dict[str, Any]:
    """So many clients at once; they change the route every second, so that both see the same neighbours."""
    end = time.perf_counter() + seconds
    began = time.perf_counter()

    def work(number: int) -> list[tuple[str, float]]:
        connection, done = Connection(url), []
        at = number
        while (now := time.perf_counter()) < end:
            route = ROUTES[int(now - began) % 2]
            done.append((route, connection.search(searches[at % len(searches)][route])[1]))
            at += 1
        return done

    with ThreadPoolExecutor(clients) as pool:
        done = [each for one in pool.map(work, range(clients)) for each in one]
    return {
        route: {
            "searches_per_second": round(2 * sum(name == route for name, _ in done) / seconds, 1),
            **percentiles([took for name, took in done if name == route]),
        }
        for route in ROUTES
    }


def measure(url: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """All figures on a running node."""
    with sidecar(url) as address:
        settings: dict[str, Any] = {"plugins.cherche.endpoints": [address]}
        settings |= {f"plugins.cherche.{name}.deadline": "10s" for name in ("query", "rerank")}
        send(url, "PUT", "/_cluster/settings", {"persistent": settings})
        searches = asyncio.run(prepared(url, address, arguments.queries, arguments.documents))
        figures = {
            "documents": arguments.documents,
            "queries": len(searches),
            "one_client": alone(url, searches, arguments.rounds),
            "clients": {str(n): together(url, searches, n, arguments.seconds) for n in CLIENTS},
        }
    with at_once() as address:
        send(url, "PUT", "/_cluster/settings", {"persistent": {"plugins.cherche.endpoints": [address]}})
        return {**figures, "at_once": without_rerank(url, searches, arguments.rounds)}


def parser() -> argparse.ArgumentParser:
    """What can be asked for."""
    wanted = argparse.ArgumentParser(description=__doc__)
    wanted.add_argument("--documents", type=int, default=1500)
    wanted.add_argument("--queries", type=int, default=100)
    wanted.add_argument("--rounds", type=int, default=5)
    wanted.add_argument("--seconds", type=float, default=20.0)
    wanted.add_argument("--heap", default="768m")
    wanted.add_argument("--plugin", type=Path, default=None)
    return wanted


def prove(arguments: argparse.Namespace | None = None) -> dict[str, Any]:
    """All figures, on a node of this run's own."""
    chosen = arguments or parser().parse_args([])
    with running_cluster(1, chosen.heap, [built(chosen.plugin)]) as urls:
        return measure(urls[0], chosen)


def main() -> None:
    """Measure, print and write down."""
    arguments, described = parser().parse_args(), machine()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the cluster ends with us
    write("plugin_latency", prove(arguments), described)


if __name__ == "__main__":
    main()
