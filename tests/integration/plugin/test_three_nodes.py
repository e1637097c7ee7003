"""Three nodes with the plugin and two sidecars, one of which dies, stalls and comes back: clients notice nothing."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from sidecar.cluster import running_cluster
from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.testing import FakeModel, RunningServer, running_server
from sidecar.values.index import IndexOptions
from sidecar.values.search import SearchRequest
from tests.integration.plugin.bulk import until
from tests.integration.plugin.conftest import SYNONYMS
from tests.integration.plugin.stand_in import StandIn, stand_in

pytestmark = [pytest.mark.java, pytest.mark.timeout(900)]

INDEX, DOCUMENTS, QUERIES = "articles", 600, 25
WORDS = [*(f"word{n}" for n in range(60)), *SYNONYMS, *SYNONYMS.values()]
PIPELINE = {
    "request_processors": [{"cherche_query": {"rerank": True, "match_set": "union"}}],
    "response_processors": [{"cherche_rerank": {}}],
}


@pytest.fixture(scope="module")
def urls(plugin_zip: Path) -> Iterator[tuple[str, ...]]:
    with running_cluster(3, "384m", [plugin_zip]) as urls:
        yield urls


@pytest.fixture
def pair() -> Iterator[tuple[StandIn, StandIn]]:
    with stand_in() as one, stand_in() as other:
        yield one, other


def send(url: str, method: str, path: str, body: Any = None) -> Any:
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    kind = "application/x-ndjson" if isinstance(body, bytes) else "application/json"
    with urlopen(Request(url + path, data, {"content-type": kind}, method=method), timeout=120) as reply:
        return json.load(reply)


def write(url: str, sources: dict[str, Any]) -> list[str]:
    """One bulk through the pipeline; ids that were refused."""
    lines = [line for id, source in sources.items() for line in ({"index": {"_id": id}}, source)]
    body = ("\n".join(map(json.dumps, lines)) + "\n").encode()
    items = send(url, "POST", f"/{INDEX}/_bulk?pipeline=encode&refresh=true", body)["items"]
    return [item["index"]["_id"] for item in items if "error" in item["index"]]


def query(text: str) -> dict[str, Any]:
    return {"multi_match": {"query": text, "fields": ["title", "text"]}}


def page(url: str, text: str) -> tuple[list[str], str]:
    """First ten ids of a plain match, and what became of its rerank."""
    reply = send(url, "POST", f"/{INDEX}/_search", {"query": query(text)})
    return [hit["_id"] for hit in reply["hits"]["hits"]], reply["ext"]["cherche"]["rerank_status"]


def sources() -> dict[str, Any]:
    rng = random.Random(11)
    return {
        f"d{n:03}": {"title": " ".join(rng.choices(WORDS, k=3)), "text": " ".join(rng.choices(WORDS, k=20))}
        for n in range(DOCUMENTS)
    }


async def shares(server: RunningServer, urls: tuple[str, ...], prefix: str) -> tuple[float, set[str]]:
    """Share of the sidecar's own first ten that have the same rank here, and every status."""
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


async def test_three_nodes_and_two_sidecars(urls: tuple[str, ...], pair: tuple[StandIn, StandIn]) -> None:
    one, other = pair
    settings: dict[str, Any] = {"plugins.cherche.endpoints": [one.address, other.address]}
    settings |= {f"plugins.cherche.{name}.deadline": "20s" for name in ("query", "rerank")}
    send(urls[0], "PUT", "/_cluster/settings", {"persistent": settings})
    send(urls[0], "PUT", "/_ingest/pipeline/encode", {"processors": [{"cherche_encode": {}}]})
    send(urls[0], "PUT", "/_search/pipeline/hybrid", PIPELINE)
    engine = OpenSearchEngine.connect(urls[1])
    async with running_server(engine, [FakeModel(synonyms=SYNONYMS)]) as server:
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
            other.kill()  # in the middle of six bulks: retried on the one that lives
            refused = [id for each in writing for id in each.result()]
        assert refused == []
        assert send(urls[2], "GET", f"/{INDEX}/_count")["count"] == DOCUMENTS
        assert await shares(server, urls, "dead") == (pytest.approx(1.0, abs=0.01), {"APPLIED"})
        other.restart()
        assert await shares(server, urls, "back") == (pytest.approx(1.0, abs=0.01), {"APPLIED"})
        other.stop()  # a black hole: the hedge asks the one that answers
        assert await shares(server, urls, "stalled") == (pytest.approx(1.0, abs=0.01), {"APPLIED"})
        other.resume()
        one.kill()

        async def serves_again() -> bool:
            return {page(url, f"resumed {url}")[1] for url in urls} == {"APPLIED"}

        await until(serves_again)
        assert await shares(server, urls, "resumed") == (pytest.approx(1.0, abs=0.01), {"APPLIED"})
    await engine.aclose()
