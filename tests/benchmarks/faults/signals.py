"""A sidecar that is killed or suspended while it works."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

from sidecar.client.client import Client
from sidecar.errors import ChercheError
from sidecar.values.index import IndexOptions
from sidecar.values.maintenance import BackfillOptions
from sidecar.values.search import SearchRequest
from tests.benchmarks.faults.row import DOCUMENTS, INDEX, Row, documents, feed, there
from tests.benchmarks.process import PATIENCE, Process


async def during(folder: Path, fault: str, number: signal.Signals, work: str) -> Row:
    """A signal while a feed, a backfill or searches run; afterwards the same work is done to its end."""
    row, seen = Row(fault), set[str]()
    process = Process(folder)
    await process.start()
    try:
        async with Client(process.address, timeout=PATIENCE) as client:
            await client.setup_index(INDEX, IndexOptions())
            if work != "feed":
                await feed(client, documents(), row, seen)
            running = asyncio.create_task(_work(client, work, row, seen))
            deadline = time.monotonic() + 60
            while not running.done() and time.monotonic() < deadline and (work != "feed" or len(seen) < 20):
                await asyncio.sleep(0.05)
                if work != "feed":
                    break
            process.kill() if number is signal.SIGKILL else process.signal(number)
            await running
        if number is signal.SIGSTOP:
            process.signal(signal.SIGCONT)
        else:
            await process.start()
        row.count(seen, await there(process.path))
        async with Client(process.address, timeout=60.0) as client:
            again = Row(fault)
            await feed(client, documents(), again, seen)
            found = await client.search(SearchRequest(INDEX, "red car"))
            whole = seen == await there(process.path) and len(seen) == DOCUMENTS and not again.errors
            row.after = f"fed again: {'all' if whole else 'NOT ALL'} {DOCUMENTS} stored, search finds {found.total}"
            if not whole:
                row.lost += DOCUMENTS - len(seen) or 1
    finally:
        process.kill()
    return row


async def _work(client: Client, work: str, row: Row, seen: set[str]) -> None:
    if work == "feed":
        await feed(client, documents(), row, seen)
        return
    try:
        if work == "backfill":
            async for _ in client.backfill_index(INDEX, BackfillOptions()):
                pass
        else:
            await asyncio.gather(*(client.search(SearchRequest(INDEX, f"red car {n}")) for n in range(40)))
    except ChercheError as error:
        row.errors.append(error.code.value)
