"""What the plugin stores, ranks and costs beside its sidecar alone: ``python -m tests.benchmarks.plugin``.

A cluster with the plugin (``make plugin`` first), one sidecar with the shipped model, SciFact. Documents go in
by ``_bulk`` through the ingest pipeline, by the sidecar's feed, and by a client that has them encoded and writes
``_bulk`` itself, each into an index of its own; rounds rotate, so that a neighbour's load falls on all. Then
every test query is searched both ways. Prints JSON and writes it to ``results/plugin.json``. Needs
CHERCHE_TEST_DATA, Maven and a JDK.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np

from sidecar.client.client import Client
from sidecar.cluster import running_cluster
from sidecar.cluster.node import free_ports
from sidecar.errors import ChercheError
from sidecar.values.documents import SourceDocument
from sidecar.values.encoded import Text
from sidecar.values.index import IndexOptions
from sidecar.values.search import SearchRequest
from tests.benchmarks.machine import machine

RESULTS = Path(__file__).parent / "results"
TARGET = Path(__file__).parents[2] / "opensearch" / "plugin" / "target"
BULK = 250
WRITERS = 2
THROUGH, DIRECT, PLAIN = "through", "direct", "plain"


def folder() -> Path:
    """SciFact."""
    if "CHERCHE_TEST_DATA" not in os.environ:
        raise SystemExit("CHERCHE_TEST_DATA is not set: it names the folder that holds scifact")
    return Path(os.environ["CHERCHE_TEST_DATA"]) / "scifact"


def corpus(count: int) -> list[tuple[str, bytes]]:
    """Id and JSON of the first documents."""
    lines = (folder() / "corpus.jsonl").read_text(encoding="utf-8").splitlines()[:count]
    documents = [json.loads(line) for line in lines]
    return [(d["_id"], json.dumps({"title": d["title"], "text": d["text"]}).encode()) for d in documents]


def queries() -> list[str]:
    """Texts of the test queries."""
    judged = {line.split("\t")[0] for line in (folder() / "qrels" / "test.tsv").read_text().splitlines()[1:]}
    lines = (folder() / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    return [query["text"] for query in map(json.loads, lines) if query["_id"] in judged]


def send(url: str, method: str, path: str, body: Any = None) -> Any:
    """One raw request."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
    kind = "application/x-ndjson" if isinstance(body, bytes) else "application/json"
    with urlopen(Request(url + path, data, {"content-type": kind}, method=method), timeout=300) as reply:
        return json.load(reply)


def create_pipelines(url: str) -> None:
    """The pipelines ``encode``, for documents, and ``hybrid``, for searches with rerank."""
    send(url, "PUT", "/_ingest/pipeline/encode", {"processors": [{"cherche_encode": {}}]})
    processors = {
        "request_processors": [{"cherche_query": {"rerank": True, "match_set": "union"}}],
        "response_processors": [{"cherche_rerank": {}}],
    }
    send(url, "PUT", "/_search/pipeline/hybrid", processors)


def bulk(url: str, documents: Sequence[tuple[str, bytes]]) -> None:
    """Write through the pipeline, two bulks at a time."""

    def one(part: Sequence[tuple[str, bytes]]) -> None:
        lines = b"".join(b'{"index":{"_id":"%s"}}\n%s\n' % (id.encode(), raw) for id, raw in part)
        reply = send(url, "POST", f"/{THROUGH}/_bulk?pipeline=encode", lines)
        if reply["errors"]:
            raise SystemExit(f"a document was refused: {next(i for i in reply['items'] if 'error' in i['index'])}")

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(one, [documents[start : start + BULK] for start in range(0, len(documents), BULK)]))


async def encode_and_bulk(url: str, client: Client, documents: Sequence[tuple[str, bytes]]) -> None:
    """Have documents encoded and write them without the plugin, two bulks at a time; what a bare encoder costs."""

    async def one(part: Sequence[tuple[str, bytes]]) -> None:
        sources = [json.loads(raw) for _, raw in part]
        texts = [Text(" ".join(filter(None, (each["title"], each["text"])))) for each in sources]
        encoded = (await client.encode_documents(texts)).items
        lines = []
        for (id, _), source, item in zip(part, sources, encoded, strict=True):
            if item.error is not None:
                raise item.error
            codes = base64.b64encode(item.codes or b"").decode()
            lines.append(json.dumps({"index": {"_id": id}}))
            lines.append(json.dumps({**source, "cherche_weights": item.weights, "cherche_codes": codes}))
        body = ("\n".join(lines) + "\n").encode()
        reply = await asyncio.to_thread(send, url, "POST", f"/{PLAIN}/_bulk", body)
        if reply["errors"]:
            raise SystemExit("a document was refused")

    slots = asyncio.Semaphore(WRITERS)

    async def bounded(part: Sequence[tuple[str, bytes]]) -> None:
        async with slots:
            await one(part)

    await asyncio.gather(*(bounded(documents[at : at + BULK]) for at in range(0, len(documents), BULK)))


async def feed(client: Client, documents: Sequence[tuple[str, bytes]]) -> None:
    """Write by the sidecar's own feed."""

    async def stream() -> AsyncIterator[SourceDocument]:
        for id, raw in documents:
            yield SourceDocument(id, raw)

    async for result in client.index_documents(DIRECT, stream(), refresh=False):
        if result.error is not None:
            raise result.error


@contextmanager
def sidecar(url: str) -> Iterator[str]:
    """Address of a sidecar with the shipped model, in a process of its own."""
    with served(url) as (address, _):
        yield address


@contextmanager
def served(url: str, *flags: str, **variables: str) -> Iterator[tuple[str, int]]:
    """Address and id of such a process, more flags, and settings of its environment; `url` is empty for no cluster."""
    [port] = free_ports(1)
    serve = [sys.executable, "-m", "sidecar.cli", "serve", "--port", str(port), "--metrics-port", "-1"]
    if url:
        serve += ["--url", url]
    process = subprocess.Popen([*serve, *flags], env={**os.environ, "CHERCHE_LOG_LEVEL": "error", **variables})
    try:
        yield f"127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait()


async def ready(client: Client) -> None:
    """Wait until the sidecar's models are warm."""
    async with asyncio.timeout(120):
        while True:
            try:
                if await client.is_serving():
                    return
            except ChercheError:
                pass  # not listening yet: asked again until the time is up
            await asyncio.sleep(0.1)


async def timed(work: Callable[[], Awaitable[Any]]) -> tuple[Any, float]:
    """Result and seconds."""
    started = time.perf_counter()
    return await work(), time.perf_counter() - started


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Milliseconds."""
    return {name: round(float(np.percentile(seconds, q)) * 1000, 2) for name, q in (("p50", 50), ("p95", 95))}


async def ingest(url: str, client: Client, count: int, compared: int, rounds: int) -> dict[str, Any]:
    """Write documents all ways in rotating rounds; the first warms up and is not counted.

    The plugin's index then gets the other documents too.
    """
    whole = corpus(count)
    documents = whole[:compared]
    seconds: dict[str, list[float]] = {THROUGH: [], DIRECT: [], PLAIN: []}
    ways: Mapping[str, Callable[[Sequence[tuple[str, bytes]]], Awaitable[Any]]] = {
        THROUGH: lambda part: asyncio.to_thread(bulk, url, part),
        DIRECT: lambda part: feed(client, part),
        PLAIN: lambda part: encode_and_bulk(url, client, part),
    }
    size = -(-len(documents) // rounds)
    for round_ in range(rounds):
        part = documents[round_ * size : (round_ + 1) * size]
        order = list(ways)
        for name in order[round_ % len(order) :] + order[: round_ % len(order)]:
            _, took = await timed(partial(ways[name], part))
            seconds[name].append(took / len(part))
    _, rest = await timed(lambda: asyncio.to_thread(bulk, url, whole[compared:]))
    for index in (THROUGH, DIRECT):
        send(url, "POST", f"/{index}/_refresh")
    stored = [{one.id: one async for one in client.dump_index(index)} for index in (THROUGH, DIRECT)]
    both = [id for id, _ in documents if id in stored[0] and id in stored[1]]
    rates = {name: round(1 / float(np.median(each[1:])), 1) for name, each in seconds.items()}
    ratios = {
        name: [other / own for own, other in zip(seconds[THROUGH][1:], seconds[name][1:], strict=True)]
        for name in (DIRECT, PLAIN)
    }
    return {
        "documents": len(stored[0]),
        "compared": len(documents),
        "documents_per_second": rates,
        "documents_per_second_of_the_rest": round(len(whole[compared:]) / rest, 1) if rest else None,
        "through_to_direct": round(float(np.median(ratios[DIRECT])), 3),
        "through_to_encoder_and_bulk": round(float(np.median(ratios[PLAIN])), 3),
        "rounds_through_to_encoder_and_bulk": [round(ratio, 2) for ratio in ratios[PLAIN]],
        "equal_hashes": sum(stored[0][id].hash == stored[1][id].hash for id in both),
        "equal_bytes": sum(stored[0][id] == stored[1][id] for id in both),
    }


async def compare(url: str, client: Client, count: int) -> dict[str, Any]:
    """Search every query both ways; share of equal hits at ten, and latency."""
    same, total, statuses = 0, 0, set()
    took: dict[str, list[float]] = {"plugin": [], "plugin_again": [], "plain": [], "sidecar": []}
    for text in queries()[:count]:
        match = {"multi_match": {"query": text, "fields": ["title", "text"], "tie_breaker": 0.5}}
        path = f"/{THROUGH}/_search"
        search = partial(asyncio.to_thread, send, url, "POST", f"{path}?search_pipeline=hybrid", {"query": match})
        wanted = SearchRequest(THROUGH, text, rerank=True, match_set="union", body={"query": match})
        reply, seconds = await timed(search)
        took["plugin"].append(seconds)
        took["plugin_again"].append((await timed(search))[1])
        _, seconds = await timed(partial(asyncio.to_thread, send, url, "POST", path, {"query": match}))
        took["plain"].append(seconds)
        own, seconds = await timed(partial(client.search, wanted))
        took["sidecar"].append(seconds)
        hits = [hit["_id"] for hit in reply["hits"]["hits"]]
        same += sum(a == b.id for a, b in zip(hits, own.hits, strict=False))
        total += len(own.hits)
        statuses.add(reply["ext"]["cherche"]["rerank_status"])
    return {
        "queries": len(took["plugin"]),
        "same_hit_at_same_rank": round(same / total, 4),
        "rerank_statuses": sorted(statuses),
        "milliseconds": {name: percentiles(each) for name, each in took.items()},
    }


async def measure(urls: Sequence[str], arguments: argparse.Namespace) -> dict[str, Any]:
    """All figures on a running cluster."""
    url = urls[0]
    with sidecar(url) as address:
        async with Client(address) as client:
            await ready(client)
            settings = {"plugins.cherche.endpoints": [address], "plugins.cherche.query.deadline": "5s"}
            settings["plugins.cherche.rerank.deadline"] = "5s"
            send(url, "PUT", "/_cluster/settings", {"persistent": settings})
            create_pipelines(url)
            for index in (THROUGH, DIRECT, PLAIN):
                await client.setup_index(index, IndexOptions())
            written = await ingest(url, client, arguments.documents, arguments.compared, arguments.rounds)
            searched = await compare(urls[-1], client, arguments.queries)
            return {"nodes": len(urls), "ingest": written, "search": searched}


def parser() -> argparse.ArgumentParser:
    """What can be asked for."""
    wanted = argparse.ArgumentParser(description=__doc__)
    wanted.add_argument("--nodes", type=int, choices=(1, 3), default=3)
    wanted.add_argument("--documents", type=int, default=5183)
    wanted.add_argument("--compared", type=int, default=1800)
    wanted.add_argument("--queries", type=int, default=300)
    wanted.add_argument("--rounds", type=int, default=9)
    wanted.add_argument("--heap", default="512m")
    wanted.add_argument("--plugin", type=Path, default=None)
    return wanted


def built(named: Path | None) -> Path:
    """The plugin's zip."""
    found = named or next(TARGET.glob("cherche-*+os3.8.0.zip"), None)
    if found is None:
        raise SystemExit("the plugin is not built: run make plugin")
    return found


def prove(arguments: argparse.Namespace | None = None) -> dict[str, Any]:
    """All figures, on a cluster of this run's own."""
    chosen = arguments or parser().parse_args([])
    with running_cluster(chosen.nodes, chosen.heap, [built(chosen.plugin)]) as urls:
        return asyncio.run(measure(urls, chosen))


def write(name: str, figures: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    """Print a record and write it down."""
    around = {"load_average_after": machine()["load_average"], "niceness": os.nice(0)}
    record = {"section": name, "machine": before, "figures": figures, **around}
    text = json.dumps(record, indent=1)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")


def main() -> None:
    """Measure, print and write down."""
    arguments, described = parser().parse_args(), machine()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the cluster ends with us
    write("plugin", prove(arguments), described)


if __name__ == "__main__":
    main()
