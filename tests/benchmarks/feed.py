"""What a feed leaves of the encoder's speed: ``make prove SECTION=feed``.

SciFact's abstracts that fit into one window, with each model that ships, all ways in turn:

- ``encoder``: the model alone, in a process that has the texts, a thread for each document as in a sidecar
- ``embedded``: a feed through a sidecar on the embedded engine
- ``opensearch``: a feed through a sidecar to a node
- ``bulk``: the same documents by a plain ``_bulk`` into the same node, so BM25 alone

Each feed is into an index of its own that was just set up, and ends when all is acknowledged and refreshed; the client
sends from this process. Wall time counts from the first document; CPU is that of the encoder's or the sidecar's
process, of the client and of the node. The first round warms up. Linux only. Needs CHERCHE_TEST_DATA, and
OPENSEARCH_URL or Maven and a JDK.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sidecar.client.client import Client
from sidecar.models.threads import cpus
from sidecar.values.documents import SourceDocument
from sidecar.values.index import IndexOptions, TextField
from tests.benchmarks.first_stage import cpu
from tests.benchmarks.plugin import corpus, ready, send, served
from tests.benchmarks.process import cpu_of

DOCUMENTS: Mapping[str, int] = {"cherche-tiny": 512, "cherche-small": 128}
ROUNDS = 5
BULK = 200
FED = ("embedded", "opensearch")
FIELDS = (TextField("title"), TextField("text"))
Document = tuple[str, bytes]


def alone(model: str, count: int) -> None:
    """The process of the model alone: prints ids of documents of one window, encodes them for each line it reads."""
    from cherche_models import hub
    from cherche_models.runtime import threads

    threads.share(cpus())
    encoder = hub.load(model, device="cpu")
    texts = {id: " ".join(json.loads(raw).values()) for id, raw in corpus(3 * count)}
    tokens = encoder.tokenize(list(texts.values()), "document")
    longest = encoder.formats["document"].max_length
    short = [id for id, one in zip(texts, tokens, strict=True) if len(one) < longest][:count]
    print(json.dumps(short), flush=True)
    for _ in sys.stdin:
        began, before = time.perf_counter(), time.process_time()
        encoder.encode([texts[id] for id in short], "document")
        print(json.dumps({"wall": time.perf_counter() - began, "encoder": time.process_time() - before}), flush=True)


@contextmanager
def encoder(model: str, count: int) -> Iterator[tuple[list[str], Callable[[], dict[str, float]]]]:
    """Ids of the documents, and what encodes them and says what it took."""
    command = [sys.executable, "-m", "tests.benchmarks.feed", "--alone", model, str(count)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    said, asked = process.stdout, process.stdin

    def once() -> dict[str, float]:
        asked.write("\n")
        asked.flush()
        found: dict[str, float] = json.loads(said.readline())
        return found

    with closing(said):
        try:
            yield json.loads(said.readline()), once
        finally:
            asked.close()
            process.wait()


async def fed(client: Client, index: str, documents: Sequence[Document]) -> None:
    """Feed them all; the index has them when this returns."""

    async def stream() -> AsyncIterator[SourceDocument]:
        for id, raw in documents:
            yield SourceDocument(id, raw)

    outcomes = Counter([result.outcome async for result in client.index_documents(index, stream())])
    if outcomes != {"encoded": len(documents)}:
        raise SystemExit(f"{len(documents)} documents were fed, and became: {dict(outcomes)}")


async def written(url: str, index: str, documents: Sequence[Document]) -> None:
    """Write them without the sidecar."""
    for start in range(0, len(documents), BULK):
        part = documents[start : start + BULK]
        lines = b"".join(b'{"index":{"_id":"%s"}}\n%s\n' % (id.encode(), raw) for id, raw in part)
        reply = await asyncio.to_thread(send, url, "POST", f"/{index}/_bulk", lines)
        if reply["errors"]:
            raise SystemExit(f"a document was refused: {next(i for i in reply['items'] if 'error' in i['index'])}")
    await asyncio.to_thread(send, url, "POST", f"/{index}/_refresh")


async def timed(work: Awaitable[None], pid: int, node: Callable[[], Awaitable[int]] | None) -> dict[str, float]:
    """Seconds: on the wall, and of CPU, of a sidecar (0 for none), of this process and of the node."""
    clusters, sidecars, own = await node() if node else 0, cpu_of(pid) if pid else 0.0, time.process_time()
    began = time.perf_counter()
    await work
    wall, client, sidecar = (
        time.perf_counter() - began,
        time.process_time() - own,
        cpu_of(pid) - sidecars if pid else 0.0,
    )
    cluster = (await node() - clusters) / 1000 if node else 0.0
    return {"wall": wall, "client": client, "sidecar": sidecar, "cluster": cluster}


def summary(found: Mapping[str, Sequence[Mapping[str, float]]], count: int) -> dict[str, Any]:
    """Of each way: documents a second, CPU of a document by process, and the share of the encoder's speed by rounds."""
    encoders = [one["wall"] for one in found["encoder"]]
    used = [one["encoder"] for one in found["encoder"]]
    rows: dict[str, Any] = {}
    for way, rounds in found.items():
        speeds = [count / one["wall"] for one in rounds]
        shares = [alone / one["wall"] for alone, one in zip(encoders, rounds, strict=True)]
        parts = {part for one in rounds for part, value in one.items() if value} - {"wall"}
        total = [sum(one[part] for part in parts) for one in rounds]
        rows[way] = {
            "documents_per_second": {"median": round(statistics.median(speeds), 1), "best": round(max(speeds), 1)},
            "cpu_ms_per_document": {
                part: round(1000 * statistics.median(one[part] for one in rounds) / count, 2) for part in sorted(parts)
            },
        }
        if way.startswith(FED):
            rows[way]["share_of_the_encoder"] = _shown(shares)
            rows[way]["cpu_over_the_encoder"] = _shown([all_ / own for all_, own in zip(total, used, strict=True)])
    return rows


def _shown(values: Sequence[float]) -> dict[str, float]:
    return {name: round(f(values), 2) for name, f in (("min", min), ("median", statistics.median), ("max", max))}


async def race(model: str, count: int, rounds: int, url: str, places: Mapping[str, tuple[str, int]]) -> dict[str, Any]:
    """All ways in turn, in another order each round."""

    async def node() -> int:
        return await cpu(lambda method, path: asyncio.to_thread(send, url, method, path))

    found = defaultdict[str, list[dict[str, float]]](list)
    async with AsyncExitStack() as stack:
        clients = {way: await stack.enter_async_context(Client(address)) for way, (address, _) in places.items()}
        for client in clients.values():
            await ready(client)
        ids, encode = stack.enter_context(encoder(model, count))
        raw = dict(corpus(3 * count))
        documents = [(id, raw[id]) for id in ids]
        for turn in range(rounds + 1):
            ways = ["encoder", *clients, "bulk"]
            for way in ways[turn % len(ways) :] + ways[: turn % len(ways)]:
                index = f"{model}-{way}-{turn}"
                if way == "encoder":
                    one = await asyncio.to_thread(encode)
                elif way == "bulk":
                    one = await timed(written(url, index, documents), 0, node)
                else:
                    await clients[way].setup_index(index, IndexOptions(fields=FIELDS))
                    work = fed(clients[way], index, documents)
                    one = await timed(work, places[way][1], node if way == "opensearch" else None)
                if turn:
                    found[way].append(one)
                print(
                    model,
                    turn,
                    way,
                    {name: round(value, 2) for name, value in one.items()},
                    file=sys.stderr,
                    flush=True,
                )
    return {"documents": len(documents), "ways": summary(found, len(documents))}


def measure(documents: Mapping[str, int] = DOCUMENTS, rounds: int = ROUNDS) -> dict[str, Any]:
    """Feed so many documents with each model."""
    from tests.benchmarks.prove import cluster_url

    found: dict[str, Any] = {}
    with cluster_url() as url:
        for model, count in documents.items():
            with TemporaryDirectory() as folder:
                path = str(Path(folder) / "index.sqlite")
                with (
                    served("", "--model", model, "--engine", "embedded", CHERCHE_EMBEDDED__PATH=path) as embedded,
                    served(url, "--model", model) as opensearch,
                ):
                    places = dict(zip(FED, (embedded, opensearch), strict=True))
                    found[model] = asyncio.run(race(model, count, rounds, url, places))
    return {"rounds": rounds, "models": found}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--alone"]:
        alone(sys.argv[2], int(sys.argv[3]))
    else:
        print(json.dumps(measure(), indent=1))
