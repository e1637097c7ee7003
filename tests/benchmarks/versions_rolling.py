"""A cluster that goes from one version of OpenSearch to the next under searches and writes, node by node with its zip.

Three nodes of the older version with an index that does not change and one that is written. Each node in turn gets no
new calls, is stopped, and starts with its data as the next version; the next one follows once the cluster is green.
Searches and writes go through the plugin on all other nodes meanwhile. No search may fail or go without its rerank
(one that OpenSearch ends because a node left is sent once more, and counted), pages of the first index must stay the
same on whatever node answers, and what was acknowledged must be stored and encoded.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from sidecar.cluster import node as nodes_
from sidecar.cluster.assemble import assemble, with_plugins
from sidecar.cluster.parts import OPENSEARCH, Server
from sidecar.cluster.places import cache_folder, java_home, server_user
from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.testing import FakeModel, running_server
from sidecar.values.index import IndexOptions
from tests.benchmarks.plugin import create_pipelines, send
from tests.benchmarks.versions_plugin import ENCODED, HEAP, zip_of
from tests.integration.plugin.nodes import opensearch

FROM, TO = "3.4.0", OPENSEARCH.version
NODES = 3
STILL, WRITTEN = "still", "written"
DOCUMENTS, QUERIES, AT_ONCE = 300, 20, 10
SEARCHERS = 2
GREEN = "/_cluster/health?wait_for_status=green&wait_for_nodes={nodes}&wait_for_no_relocating_shards=true&timeout=170s"
START = 180.0
APPLIED = "REWRITTEN, APPLIED"
LEFT = ("node_disconnected_exception", "node_not_connected_exception", "search_context_missing_exception")
"""How OpenSearch ends a search one of whose nodes goes between finding and fetching, with the plugin and without."""


@dataclass(slots=True)
class Cluster:
    """Nodes by number, and the calls that each has in progress.

    Attributes
    ----------
    homes : mapping of version → folder of the server with its plugin
    """

    folder: Path
    homes: Mapping[str, Path]
    servers: Mapping[str, Server]
    specs: list[nodes_.NodeSpec]
    pids: dict[int, int] = field(default_factory=dict)
    closed: set[int] = field(default_factory=set)
    calls: Counter[int] = field(default_factory=Counter)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def start(self, number: int, version: str) -> None:
        """Start a node as a version, on the data that it has."""
        java, user = java_home(os.environ), server_user()
        spec = self.specs[number] = replace(self.specs[number], server=self.servers[version])
        nodes_.prepare(spec, self.specs, user)
        self.pids[number] = nodes_.start(spec, java=java, home=self.homes[version], heap=HEAP, user=user)

    def stop(self, *numbers: int) -> None:
        """Stop nodes."""
        nodes_.stop({self.pids.pop(number): self.specs[number].folder for number in numbers})

    def wait(self, asked: int) -> None:
        """Wait until all nodes are in the cluster and all copies in their places; `asked` is a node."""
        for _ in range(int(START)):
            try:
                send(self.specs[asked].url, "GET", GREEN.format(nodes=len(self.specs)))
            except OSError:
                threading.Event().wait(1.0)  # it does not listen yet, or waits for a manager
            else:
                return
        raise SystemExit(f"no green cluster of {len(self.specs)} nodes:\n{nodes_.log_tail(self.specs[asked])}")

    @contextmanager
    def node(self, turn: int) -> Iterator[str]:
        """URL of one of the nodes that get calls, by turns."""
        with self.changed:
            open_ = [number for number in range(len(self.specs)) if number not in self.closed]
            number = open_[turn % len(open_)]
            self.calls[number] += 1
        try:
            yield self.specs[number].url
        finally:
            with self.changed:
                self.calls[number] -= 1
                self.changed.notify_all()

    def upgrade(self, number: int) -> None:
        """What an operator does with a node: no calls, stop, the next version, calls again."""
        with self.changed:
            self.closed.add(number)
            self.changed.wait_for(lambda: not self.calls[number])
        self.stop(number)
        self.start(number, TO)
        self.wait(number)  # the others may not have noticed yet that it left
        with self.changed:
            self.closed.discard(number)


@dataclass(slots=True)
class Seen:
    """What searches and writes were answered."""

    pages: Counter[str] = field(default_factory=Counter)
    searches: Counter[str] = field(default_factory=Counter)
    again: Counter[str] = field(default_factory=Counter)
    writes: Counter[str] = field(default_factory=Counter)
    acknowledged: set[str] = field(default_factory=set)


@contextmanager
def started(tree: Path, folder: Path) -> Iterator[Cluster]:
    """A green cluster of the older version."""
    servers = {FROM: opensearch(FROM), TO: OPENSEARCH}
    cache = cache_folder(os.environ, root=os.geteuid() == 0, home=Path.home())
    homes = {
        version: with_plugins(
            assemble(cache, os.environ, server),
            [zip_of(tree, folder / f"build-{version}", version)],
            folder / f"home-{version}",
        )
        for version, server in servers.items()
    }
    ports = nodes_.free_ports(2 * NODES)
    specs = [
        nodes_.NodeSpec(n + 1, folder / f"node-{n + 1}", ports[2 * n], ports[2 * n + 1], servers[FROM])
        for n in range(NODES)
    ]
    cluster = Cluster(folder, homes, servers, specs)
    try:
        for number in range(NODES):
            cluster.start(number, FROM)
        cluster.wait(0)
        yield cluster
    finally:
        cluster.stop(*list(cluster.pids))


def said(url: str, index: str, text: str) -> tuple[list[tuple[str, float]], str]:
    """Hits of a search through the plugin, best first and equals by id, and what became of it."""
    query = {"multi_match": {"query": text, "fields": ["title", "text"]}}
    try:
        reply = send(url, "POST", f"/{index}/_search?search_pipeline=hybrid", {"query": query})
    except HTTPError as error:
        with error:
            return [], f"FAILED {error.code}: {error.read()[:300].decode(errors='replace')}"
    if reply["_shards"]["failed"]:
        return [], f"FAILED shards: {json.dumps(reply['_shards'])[:300]}"
    hits = [(hit["_id"], round(hit["_score"], 4)) for hit in reply["hits"]["hits"]]
    told = reply["ext"]["cherche"]
    return sorted(hits, key=lambda hit: (-hit[1], hit[0])), f"{told['query_status']}, {told['rerank_status']}"


def write(url: str, index: str, ids: Sequence[str]) -> tuple[set[str], Counter[str]]:
    """Ids that were acknowledged, and outcomes."""
    lines: list[dict[str, Any]] = []
    for n, id in enumerate(ids):
        lines += [{"index": {"_id": id}}, {"title": f"car {id}", "text": f"red car {id} of {n % 7} and more"}]
    body = ("\n".join(map(json.dumps, lines)) + "\n").encode()
    try:
        items = send(url, "POST", f"/{index}/_bulk?pipeline=encode&refresh=true", body)["items"]
    except HTTPError as error:
        with error:
            return set(), Counter([f"FAILED {error.code}: {error.read()[:300].decode(errors='replace')}"])
    reasons = [item["index"].get("error", {}).get("reason", "written")[:300] for item in items]
    return {id for id, reason in zip(ids, reasons, strict=True) if reason == "written"}, Counter(reasons)


def traffic(cluster: Cluster, ended: threading.Event) -> tuple[Seen, list[threading.Thread]]:
    """Searches and writes by turns on the nodes that get calls, until `ended` is set."""
    seen = Seen()
    with cluster.node(0) as url:
        texts = [f"red car s{n} {n % 7}" for n in range(QUERIES)]
        first = {text: said(url, STILL, text) for text in texts}

    def search(turn: int) -> None:
        text = texts[turn % QUERIES]
        page, written = answered(turn, STILL, text), answered(turn, WRITTEN, text)
        with cluster.changed:
            seen.pages["the same" if page == first[text] else "another"] += 1
            seen.searches += Counter([page[1], written[1]])

    def answered(turn: int, index: str, text: str) -> tuple[list[tuple[str, float]], str]:
        with cluster.node(turn) as url:
            found = said(url, index, text)
        left = next((reason for reason in LEFT if reason in found[1]), "")
        if not left:
            return found
        with cluster.changed:
            seen.again[left] += 1
        with cluster.node(turn + 1) as url:
            return said(url, index, text)

    def add(turn: int) -> None:
        with cluster.node(turn) as url:
            acknowledged, outcomes = write(url, WRITTEN, [f"w{turn}-{n}" for n in range(AT_ONCE)])
        with cluster.changed:
            seen.acknowledged |= acknowledged
            seen.writes += outcomes

    def repeat(work: Callable[[int], None]) -> None:
        for turn in itertools.count():
            if ended.is_set():
                return
            try:
                work(turn)
            except Exception as error:  # a thread that ends would end the proof quietly
                with cluster.changed:
                    seen.searches[f"FAILED {type(error).__name__}: {error}"] += 1

    works = [search] * SEARCHERS + [add]
    return seen, [threading.Thread(target=repeat, args=(work,)) for work in works]


def upgraded(cluster: Cluster, seen_first: dict[str, int]) -> Seen:
    """Upgrade every node under traffic; calls that each stage saw go to `seen_first`."""
    ended = threading.Event()
    seen, threads = traffic(cluster, ended)
    for thread in threads:
        thread.start()
    try:
        for number in range(NODES):
            before = seen.pages.total()
            cluster.upgrade(number)
            seen_first[f"{number + 1} of {NODES} nodes on {TO}"] = seen.pages.total() - before
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    return seen


async def beside(cluster: Cluster) -> dict[str, Any]:
    """Figures of the upgrade."""
    engine = OpenSearchEngine.connect(cluster.specs[0].url)
    stages: dict[str, int] = {}
    try:
        async with running_server(engine, [FakeModel()]) as server:
            settings: dict[str, Any] = {"plugins.cherche.endpoints": [server.address]}
            settings |= {f"plugins.cherche.{name}.deadline": "20s" for name in ("query", "rerank")}
            await asyncio.to_thread(_prepare, cluster.specs[0].url, settings)
            for index in (STILL, WRITTEN):
                await server.client.setup_index(index, IndexOptions())
            ids = [f"s{n}" for n in range(DOCUMENTS)]
            _, first = await asyncio.to_thread(write, cluster.specs[0].url, STILL, ids)
            await asyncio.to_thread(cluster.wait, 0)
            seen = await asyncio.to_thread(upgraded, cluster, stages)
            stored = {one.id: one.state async for one in server.client.dump_index(WRITTEN)}
    finally:
        await engine.aclose()
    return {
        "from": FROM,
        "to": TO,
        "nodes": NODES,
        "written before": dict(first),
        "pages": dict(seen.pages),
        "pages while there were": stages,
        "searches": dict(seen.searches),
        "searches sent again as a node had left": dict(seen.again),
        "writes": dict(seen.writes),
        "acknowledged": len(seen.acknowledged),
        "acknowledged and stored": len(seen.acknowledged & stored.keys()),
        "states": dict(Counter(stored.values())),
    }


def _prepare(url: str, settings: Mapping[str, Any]) -> None:
    """The plugin's settings, its pipelines, and indices with two copies of two shards."""
    send(url, "PUT", "/_cluster/settings", {"persistent": settings})
    create_pipelines(url)
    placed = {"index.number_of_shards": 2, "index.number_of_replicas": 1}
    template = {"index_patterns": [STILL, WRITTEN], "template": {"settings": placed}}
    send(url, "PUT", "/_index_template/versions", template)


def problems(figures: Mapping[str, Any]) -> list[str]:
    """What may not be."""
    found = {
        "pages changed": set(figures["pages"]) != {"the same"},
        "a stage saw no search": not all(figures["pages while there were"].values()),
        "searches failed, or were not reranked": set(figures["searches"]) != {APPLIED},
        "writes failed": set(figures["writes"]) != {"written"} or set(figures["written before"]) != {"written"},
        "what was acknowledged is lost": figures["acknowledged"] != figures["acknowledged and stored"],
        "documents are not encoded": set(figures["states"]) != {ENCODED},
    }
    return [f"from {figures['from']} to {figures['to']}: {name}" for name, is_so in found.items() if is_so]


def rolling(tree: Path) -> dict[str, Any]:
    """Figures of a cluster that is upgraded under the plugin of a checkout."""
    with tempfile.TemporaryDirectory(prefix="cherche-upgrade-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        with started(tree, folder) as cluster:
            figures = asyncio.run(beside(cluster))
    return {**figures, "problems": problems(figures)}
