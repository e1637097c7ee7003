"""Two nodes of one cluster, each with the plugin of its own commit, under searches and writes."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import HTTPError

from sidecar.cluster import node as nodes_
from sidecar.cluster.assemble import assemble, with_plugins
from sidecar.cluster.parts import OPENSEARCH
from sidecar.cluster.places import cache_folder, java_home, maven, server_user
from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.testing import FakeModel, running_server
from sidecar.values.index import IndexOptions
from tests.benchmarks.plugin import create_pipelines, send

INDEX = "versions"
DOCUMENTS, SEARCHES, TURNS = 300, 40, 3
WRITERS = 2 * TURNS
START = 180.0
HEAP = "512m"
ENCODED = "ok"
T = TypeVar("T")


def zip_of(tree: Path, folder: Path, version: str = OPENSEARCH.version) -> Path:
    """Build the plugin of a checkout for a version of OpenSearch, without its tests."""
    line = [maven(), "-B", "-q", "-ntp", "-f", str(tree / "opensearch" / "plugin" / "pom.xml"), "package"]
    line += ["-Dmaven.test.skip=true", f"-Dopensearch.version={version}", f"-Dbuild.folder={folder}"]
    environment = {**os.environ, "JAVA_HOME": str(java_home(os.environ))}
    ran = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"the plugin of {tree} cannot be built:\n{ran.stdout[-3000:]}{ran.stderr[-1000:]}")
    return next(folder.glob(f"cherche-*+os{version}.zip"))


@contextmanager
def nodes(zips: Mapping[str, Path], folder: Path) -> Iterator[list[str]]:
    """URLs of one node for each zip, in one cluster."""
    java, user = java_home(os.environ), server_user()
    home = assemble(cache_folder(os.environ, root=os.geteuid() == 0, home=Path.home()), os.environ)
    ports = nodes_.free_ports(2 * len(zips))
    specs = [
        nodes_.NodeSpec(number + 1, folder / f"node-{number + 1}", ports[2 * number], ports[2 * number + 1])
        for number in range(len(zips))
    ]
    pids: dict[int, Path] = {}
    try:
        for spec, (name, zip_) in zip(specs, zips.items(), strict=True):
            nodes_.prepare(spec, specs, user)
            own = with_plugins(home, [zip_], folder / f"home-{name}")
            pids[nodes_.start(spec, java=java, home=own, heap=HEAP, user=user)] = spec.folder
        wait(specs[0], len(specs))
        yield [spec.url for spec in specs]
    finally:
        nodes_.stop(pids)


def wait(spec: nodes_.NodeSpec, count: int) -> None:
    """Wait until all nodes are in the cluster."""
    deadline = time.monotonic() + START
    while True:
        try:
            if send(spec.url, "GET", "/_cluster/health")["number_of_nodes"] == count:
                return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise SystemExit(nodes_.log_tail(spec))
        time.sleep(0.2)


def bulk(url: str, first: int, count: int, turn: int) -> Counter[str]:
    """Write through the pipeline on one node; outcomes."""
    lines: list[dict[str, Any]] = []
    for number in range(first, first + count):
        lines.append({"index": {"_id": f"d{number}"}})
        lines.append({"title": f"car {number}", "text": f"red car {turn} of {number % 7}"})
    body = ("\n".join(map(json.dumps, lines)) + "\n").encode()
    items = send(url, "POST", f"/{INDEX}/_bulk?pipeline=encode&refresh=true", body)["items"]
    return Counter(item["index"].get("error", {}).get("reason", "written")[:300] for item in items)


def search(url: str, text: str) -> tuple[list[float], str]:
    """Scores of a page, and what the plugin says of it, or the error; of equal scores either hit may come first."""
    query = {"multi_match": {"query": text, "fields": ["title", "text"]}}
    try:
        reply = send(url, "POST", f"/{INDEX}/_search?search_pipeline=hybrid", {"query": query})
    except HTTPError as error:
        with error:
            return [], f"FAILED {error.code}: {error.read()[:300].decode(errors='replace')}"
    said = reply["ext"]["cherche"]
    scores = [round(hit["_score"], 4) for hit in reply["hits"]["hits"]]
    return scores, f"{said['query_status']}, {said['rerank_status']}"


async def beside(urls: list[str]) -> dict[str, Any]:
    """Searches and writes on all nodes in turn."""
    engine = OpenSearchEngine.connect(urls[0])
    loop, pool = asyncio.get_running_loop(), ThreadPoolExecutor(WRITERS + 1)  # the loop's own threads are the sidecar's

    def of(work: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
        return loop.run_in_executor(pool, work, *arguments)

    try:
        async with running_server(engine, [FakeModel()]) as server:
            settings: dict[str, Any] = {"plugins.cherche.endpoints": [server.address]}
            settings |= {f"plugins.cherche.{name}.deadline": "20s" for name in ("query", "rerank")}
            await of(_prepare, urls[0], settings)
            await server.client.setup_index(INDEX, IndexOptions())
            half = DOCUMENTS // 2
            parts = [(urls[0], 0), (urls[1], half)]
            first = [await of(bulk, url, start, half, 0) for url, start in parts]
            states = Counter([one.state async for one in server.client.dump_index(INDEX)])
            texts = [f"red car {n % 7} {n}" for n in range(SEARCHES)]
            pages = [[await of(search, url, text) for url in urls] for text in texts]
            writing = [of(bulk, url, start, half, turn) for turn in range(1, TURNS + 1) for url, start in parts]
            statuses = Counter[str]()
            while not all(task.done() for task in writing):
                for url in urls:
                    statuses[(await of(search, url, texts[statuses.total() % SEARCHES]))[1]] += 1
            written = [*first, *(await asyncio.gather(*writing))]
            after = Counter([one.state async for one in server.client.dump_index(INDEX)])
    finally:
        await engine.aclose()
        pool.shutdown()
    return {
        "documents": DOCUMENTS,
        "writes": dict(sum(written, Counter[str]())),
        "states": {"first": dict(states), "after": dict(after)},
        "searches": 2 * SEARCHES,
        "same pages": sum(one[0] == other[0] for one, other in pages),
        "statuses": dict(Counter(said for pair in pages for _, said in pair)),
        "searches beside writes": dict(statuses),
    }


def _prepare(url: str, settings: Mapping[str, Any]) -> None:
    """The plugin's settings, its pipelines, and an index with a copy on each node."""
    send(url, "PUT", "/_cluster/settings", {"persistent": settings})
    create_pipelines(url)
    placed = {"index.number_of_shards": 2, "index.number_of_replicas": 1}
    template = {"index_patterns": [INDEX], "template": {"settings": placed}}
    send(url, "PUT", "/_index_template/versions", template)


def problems(figures: Mapping[str, Any]) -> list[str]:
    """What may not be."""
    said = {*figures["statuses"], *figures["searches beside writes"]}
    found = {
        "writes failed": set(figures["writes"]) != {"written"},
        "documents are not encoded": any(set(one) != {ENCODED} for one in figures["states"].values()),
        "pages differ": figures["same pages"] * 2 != figures["searches"],
        "searches failed, or were not reranked": said != {"REWRITTEN, APPLIED"},
    }
    return [f"two plugins: {name}" for name, is_so in found.items() if is_so]


def two_plugins(old: Path, new: Path) -> dict[str, Any]:
    """Figures of a cluster whose nodes have the plugins of two checkouts."""
    with tempfile.TemporaryDirectory(prefix="cherche-plugins-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        zips = {label: zip_of(tree, folder / f"build-{label}") for label, tree in (("old", old), ("new", new))}
        with nodes(zips, folder) as urls:
            figures = asyncio.run(beside(urls))
    return {**figures, "problems": problems(figures)}
