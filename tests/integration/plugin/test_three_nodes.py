"""Three nodes with the plugin and two sidecars, one of which is killed, suspended and restarted: no client notices."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from sidecar.cluster import running_cluster
from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.testing import FakeModel, RunningServer, running_server
from sidecar.values.index import IndexOptions
from sidecar.values.search import SearchRequest
from tests.integration.plugin.conftest import SYNONYMS
from tests.integration.plugin.requests import until
from tests.integration.plugin.sidecar_process import SidecarProcess, sidecar_process

pytestmark = [pytest.mark.java, pytest.mark.timeout(900)]

INDEX, DOCUMENTS, QUERIES = "articles", 600, 25
WORDS = [*(f"word{n}" for n in range(60)), *SYNONYMS, *SYNONYMS.values()]
WHOLE = {("REWRITTEN", "APPLIED")}
PIPELINE = {
    "request_processors": [{"cherche_query": {"rerank": True, "match_set": "union"}}],
    "response_processors": [{"cherche_rerank": {}}],
}


@pytest.fixture(scope="module")
def urls(plugin_zip: Path) -> Iterator[tuple[str, ...]]:
    with running_cluster(3, "384m", [plugin_zip]) as urls:
        yield urls


@pytest.fixture
def pair() -> Iterator[tuple[SidecarProcess, SidecarProcess]]:
    with sidecar_process() as one, sidecar_process() as other:
        yield one, other


def send(url: str, method: str, path: str, body: Any = None) -> Any:
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    kind = "application/x-ndjson" if isinstance(body, bytes) else "application/json"
    with urlopen(Request(url + path, data, {"content-type": kind}, method=method), timeout=120) as reply:
        return json.load(reply)


def write(url: str, sources: dict[str, Any]) -> list[str]:
    """One bulk request through the pipeline; ids of rejected documents."""
    lines = [line for id, source in sources.items() for line in ({"index": {"_id": id}}, source)]
    body = ("\n".join(map(json.dumps, lines)) + "\n").encode()
    items = send(url, "POST", f"/{INDEX}/_bulk?pipeline=encode&refresh=true", body)["items"]
    return [item["index"]["_id"] for item in items if "error" in item["index"]]


def query(text: str) -> dict[str, Any]:
    return {"multi_match": {"query": text, "fields": ["title", "text"]}}


def page(url: str, text: str) -> tuple[list[str], tuple[str, str]]:
    """First ten ids of a match query, and the statuses of its query and of its rerank."""
    reply = send(url, "POST", f"/{INDEX}/_search", {"query": query(text)})
    said = reply["ext"]["cherche"]
    return [hit["_id"] for hit in reply["hits"]["hits"]], (said["query_status"], said["rerank_status"])


def sources() -> dict[str, Any]:
    rng = random.Random(11)
    return {
        f"d{n:03}": {"title": " ".join(rng.choices(WORDS, k=3)), "text": " ".join(rng.choices(WORDS, k=20))}
        for n in range(DOCUMENTS)
    }


async def shares(server: RunningServer, urls: tuple[str, ...], prefix: str) -> tuple[float, set[tuple[str, str]]]:
    """Share of the first ten hits that have the same rank as in the sidecar's search, and all statuses."""
    rng, same, total, statuses = random.Random(prefix), 0, 0, set()
    for number in range(QUERIES):
        text = f"{prefix} " + " ".join(rng.choices(WORDS, k=rng.randint(1, 5)))
        ids, status = page(urls[number % 3], text)
        request = SearchRequest(INDEX, text, rerank=True, match_set="union", body={"query": query(text)})
        own = [hit.id for hit in (await server.client.search(request)).hits]
        same += sum(a == b for a, b in zip(ids, own, strict=False))
        total += len(own)
        statuses.add(status)
    return same / total, statuses


async def test_three_nodes_and_two_sidecars(urls: tuple[str, ...], pair: tuple[SidecarProcess, SidecarProcess]) -> None:
    one, other = pair
    settings: dict[str, Any] = {"plugins.cherche.endpoints": [one.address, other.address]}
    settings |= {f"plugins.cherche.{name}.deadline": "20s" for name in ("query", "rerank")}
    send(urls[0], "PUT", "/_cluster/settings", {"persistent": settings})
    send(urls[0], "PUT", "/_ingest/pipeline/encode", {"processors": [{"cherche_encode": {}}]})
    send(urls[0], "PUT", "/_search/pipeline/hybrid", PIPELINE)
    engine = OpenSearchEngine.connect(urls[1])
    async with aclosing(engine), running_server(engine, [FakeModel(synonyms=SYNONYMS)]) as server:
        text = {"type": "text", "analyzer": "standard"}
        mappings = {"properties": {"title": text, "text": text}}
        placed = {"number_of_shards": 3, "number_of_replicas": 1}
        send(urls[0], "PUT", f"/{INDEX}", {"settings": placed, "mappings": mappings})
        await server.client.setup_index(INDEX, IndexOptions())
        send(urls[0], "PUT", f"/{INDEX}/_settings", {"index.search.default_pipeline": "hybrid"})
        parts = list(sources().items())
        with ThreadPoolExecutor(3) as pool:
            bulks = [(url, dict(parts[start::6])) for start, url in enumerate(urls * 2)]
            writing = [pool.submit(write, *each) for each in bulks]
            other.kill()  # during six bulk requests, which are retried on the other
            rejected = [id for each in writing for id in each.result()]
        assert rejected == []
        assert send(urls[2], "GET", f"/{INDEX}/_count")["count"] == DOCUMENTS
        assert await shares(server, urls, "dead") == (pytest.approx(1.0, abs=0.01), WHOLE)
        other.restart()
        assert await shares(server, urls, "back") == (pytest.approx(1.0, abs=0.01), WHOLE)
        other.stop()  # no response: hedged calls reach the other
        assert await shares(server, urls, "stalled") == (pytest.approx(1.0, abs=0.01), WHOLE)
        other.resume()
        one.kill()

        async def serves_again() -> bool:
            return {page(url, f"resumed {url}")[1] for url in urls} == WHOLE

        await until(serves_again)
        assert await shares(server, urls, "resumed") == (pytest.approx(1.0, abs=0.01), WHOLE)
