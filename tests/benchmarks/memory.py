"""What a sidecar's memory goes to: ``python -m tests.benchmarks.memory``, or ``make prove SECTION=memory``.

A sidecar of its own on the embedded engine serves the shipped models and does, one after the other, what a day brings:
long texts, a rerank, a feed, a backfill, another model that is loaded and freed, several times. After each step its
resident memory is read, at work and at rest. ``MEMORY_TEXTS`` is how many texts a step has. Linux only.
"""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from sidecar.client.client import Client
from sidecar.values.documents import SourceDocument
from sidecar.values.encoded import Text
from sidecar.values.index import IndexOptions
from sidecar.values.maintenance import BackfillOptions
from sidecar.values.search import SearchRequest
from tests.benchmarks.process import WATCHED, Process

TEXTS = 64
WORDS = 600  # of a long text: beyond the models' 512 tokens
INDEX = "articles"
OTHER = "cherche-tiny"
CYCLES = 3
PATIENCE = 1800.0
REST = 4.0
"""Seconds after a step until memory is read at rest."""


def text(seed: int, words: int = WORDS) -> str:
    """Made-up words, the same for a seed."""
    draw = random.Random(seed)
    return " ".join("".join(draw.choices("abcdefghijklmnoprstuvw", k=draw.randint(3, 9))) for _ in range(words))


async def _feed(client: Client, index: str, count: int) -> None:
    async def documents() -> Any:
        for n in range(count):
            yield SourceDocument(f"d{n}", f'{{"text": "{text(n)}"}}'.encode())

    async for _ in client.index_documents(index, documents()):
        pass


async def steps(process: Process, count: int) -> list[dict[str, Any]]:
    """MiB at work and at rest after each step, in order; those of mapped files, which are shared, by themselves."""
    rows: list[dict[str, Any]] = []
    long, pieces = [Text(text(n)) for n in range(count)], [Text(text(n, 80)) for n in range(count * 2)]

    async def read(name: str, work: Callable[[], Awaitable[Any]] | None = None) -> None:
        most = process.status("RssAnon")
        task = asyncio.ensure_future(work()) if work is not None else None
        while task is not None and not task.done():
            await asyncio.wait([task], timeout=0.05)
            most = max(most, process.status("RssAnon"))
        if task is not None:
            task.result()
        await asyncio.sleep(REST)
        rest, files = process.status("RssAnon"), process.status("RssFile")
        rows.append({"after": name, "at_work": most >> 10, "at_rest": rest >> 10, "files": files >> 10})
        print(rows[-1], flush=True)

    async with Client(process.address, timeout=PATIENCE) as client:
        await read("the start, one model")
        await read(f"{count} texts of 512 tokens", lambda: client.encode_documents(long))
        await read(f"the same again, {count} texts", lambda: client.encode_documents(long))
        await read(f"a rerank of {2 * count} texts", lambda: client.rerank("what is this about", pieces))
        await client.setup_index(INDEX, IndexOptions())
        await read(f"a feed of {count} documents", lambda: _feed(client, INDEX, count))

        async def backfill() -> None:
            async for _ in client.backfill_index(INDEX, BackfillOptions(search_slowdown=0)):
                pass

        await client.remove_index(INDEX)
        await client.setup_index(INDEX, IndexOptions(codec="int8", max_length=256))
        await read(f"a backfill of {count} documents", backfill)

        async def searches() -> None:
            for n in range(count):
                await client.search(SearchRequest(INDEX, text(n, 5), rerank=True))

        await read(f"{count} searches with rerank", searches)
        for cycle in range(1, CYCLES + 1):
            await read(f"loading {OTHER}, time {cycle}", lambda: client.load_model(OTHER, OTHER))
            await read(f"{count} texts with it", lambda: client.encode_documents(long, model=OTHER))
            await read("freeing it", lambda: client.unload_model(OTHER))
    return rows


async def measured() -> dict[str, Any]:
    """All steps of one sidecar."""
    count = int(os.environ.get("MEMORY_TEXTS", TEXTS))
    kept = {name: os.environ[name] for name in ("MALLOC_ARENA_MAX",) if name in os.environ}
    with tempfile.TemporaryDirectory() as folder:
        process = Process(Path(folder), WATCHED, CHERCHE_LIMITS__DEADLINE=str(PATIENCE))
        await process.start()
        try:
            rows = await steps(process, count)
        finally:
            process.kill()
    return {"texts": count, "environment": kept, "steps": rows}


def measure() -> dict[str, Any]:
    """The table."""
    return asyncio.run(measured())


if __name__ == "__main__":
    measure()
