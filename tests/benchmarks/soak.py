"""Callers that come and go: what a sidecar still holds of them afterwards.

Each of a few callers opens a connection, does one of `CHURN` and closes it, again and again. A first round, which is
not counted, fills what a process fills once: caches, pools of threads, arenas of the allocator. Before it come batches
of all sizes, as torch keeps what it compiled for each.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from typing import Any

import grpc

from sidecar.client.client import Client
from sidecar.errors import ChercheError
from sidecar.values.documents import SourceDocument
from sidecar.values.encoded import Text
from sidecar.values.index import IndexOptions
from sidecar.values.maintenance import BackfillOptions
from sidecar.values.search import SearchRequest
from tests.benchmarks.process import Process, Reading

INDEX = "soaked"
CALLERS = 6
WARM = 0.2
"""Share of the time that the first round takes."""
IDLE = 5.0
MEMORY_SLACK, MEMORY_SHARE = 32.0, 1.02  # MiB, and of what was there
LONGEST = 512  # tokens of a text
DESCRIPTOR_SLACK = 4  # connections that gRPC has not closed yet


async def documents(first: int, count: int, pause: float = 0.0) -> AsyncIterator[SourceDocument]:
    """Some documents, each after a pause."""
    for n in range(first, first + count):
        if pause:
            await asyncio.sleep(pause)
        yield SourceDocument(f"s{n % 200}", f'{{"text": "number {n} of a river, a market and an engine"}}'.encode())


async def search(client: Client, number: int) -> None:
    await client.search(SearchRequest(INDEX, f"river number {number}", rerank=True))


async def encode(client: Client, number: int) -> None:
    await client.encode_documents([Text(f"a market of {number + n} engines") for n in range(16)])


async def feed(client: Client, number: int) -> None:
    async for _ in client.index_documents(INDEX, documents(number, 20)):
        pass


async def broken_feed(client: Client, number: int) -> None:
    """A stream that its caller leaves in the middle."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.3):
            async for _ in client.index_documents(INDEX, documents(number, 200, 0.02)):
                pass


async def cancelled(client: Client, number: int) -> None:
    """Calls whose callers do not wait for the answer."""
    texts = [Text(f"an engine {number}, a river and a market " * 20) for _ in range(32)]
    tasks = [asyncio.create_task(client.encode_documents(texts)) for _ in range(4)]
    tasks += [asyncio.create_task(client.search(SearchRequest(INDEX, "river", rerank=True))) for _ in range(4)]
    await asyncio.sleep(0.02)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def half_a_dump(client: Client, number: int) -> None:
    async for _ in client.dump_index(INDEX):
        break


async def half_a_backfill(client: Client, number: int) -> None:
    async for _ in client.backfill_index(INDEX, BackfillOptions(search_slowdown=0)):
        break


async def refused(client: Client, number: int) -> None:
    await client.search(SearchRequest(f"missing-{number}", "river"))


async def nothing(client: Client, number: int) -> None:
    """A connection on which only health is asked."""
    await client.is_serving()


CHURN: dict[Callable[[Client, int], Awaitable[None]], int] = {
    search: 8,
    encode: 3,
    feed: 2,
    broken_feed: 2,
    cancelled: 3,
    half_a_dump: 2,
    half_a_backfill: 1,
    refused: 3,
    nothing: 3,
}


async def garbage(address: str) -> None:
    """A connection that speaks no HTTP/2, and one that calls with bytes that are no message."""
    host, _, port = address.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    writer.close()
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_unary("/cherche.v1.SearchService/Search")
        with contextlib.suppress(grpc.aio.AioRpcError):
            await call(b"\xff" * 100)


async def churn(address: str, seconds: float, seed: int, done: Counter[str]) -> None:
    """One caller after another."""
    draw, ended = random.Random(seed), time.monotonic() + seconds
    number = seed * 1_000_000
    while time.monotonic() < ended:
        number += 1
        [work] = draw.choices(list(CHURN), list(CHURN.values()))
        try:
            async with Client(address, timeout=30.0) as client:
                await work(client, number)
            done[work.__name__] += 1
        except ChercheError as error:
            done[f"{work.__name__}: {error.code.value}"] += 1
        if number % 20 == 0:
            await garbage(address)


async def all_sizes(client: Client) -> None:
    """Batches of as many tokens as there are sizes: of one text, then of several long ones."""
    for words in range(4, LONGEST, 8):
        await client.encode_documents([Text("river " * words)])
    for texts in range(2, 9):
        await client.encode_documents([Text("river " * LONGEST)] * texts)


async def soak(process: Process, seconds: float) -> dict[str, Any]:
    """What is held after the first round and after the last, and the names of what grew."""
    async with Client(process.address, timeout=60.0) as client:
        await client.setup_index(INDEX, IndexOptions())
        await feed(client, 0)
        await all_sizes(client)
    done = Counter[str]()
    readings = []
    for share in (WARM, 1 - WARM):
        await asyncio.gather(*(churn(process.address, seconds * share, seed, done) for seed in range(CALLERS)))
        await asyncio.sleep(IDLE)
        readings.append(await process.reading())
    start, end = readings
    return {
        "seconds": seconds,
        "calls": done.total(),
        "by kind": dict(done.most_common()),
        "after the first round": asdict(start),
        "at the end": asdict(end),
        "kept": kept(start, end),
    }


def kept(start: Reading, end: Reading) -> list[str]:
    """Names of what a process holds more of than it may.

    >>> kept(Reading(500.0, 500.0, 30, 20, 12, 1.0), Reading(520.0, 700.0, 31, 20, 13, 9.0))
    ['tasks']
    """
    grown = {
        "memory": end.rss_mib > start.rss_mib * MEMORY_SHARE + MEMORY_SLACK,
        "descriptors": end.descriptors > start.descriptors + DESCRIPTOR_SLACK,
        "threads": end.threads > start.threads + DESCRIPTOR_SLACK,
        "tasks": end.tasks > start.tasks,
    }
    return [name for name, has_grown in grown.items() if has_grown]
