"""A clock that is set a day ahead, and back, under a sidecar at work.

By libfaketime (Debian's package of this name), which leaves the monotonic clock as it is, as setting a clock does.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import grpc

from sidecar.client.client import Client
from sidecar.pb.cherche.v1 import search_pb2_grpc
from sidecar.values.index import IndexOptions
from sidecar.values.search import SearchRequest
from sidecar.wire.search import request_to_pb
from tests.benchmarks.faults.row import DOCUMENTS, INDEX, Row, documents, feed, there
from tests.benchmarks.process import PROGRAM, Process

LIBRARIES = tuple(Path(f"/usr/lib/{cpu}-linux-gnu/faketime/libfaketimeMT.so.1") for cpu in ("x86_64", "aarch64"))
STEPS = ("+1d", "-1d", "+0")
SIZE, SEEN = 20, 1  # hits of a page; seconds after which libfaketime looks again
# libfaketime 0.9.10 answers EINVAL to the clock_nanosleep of time.sleep, with which only the fake model waits.
CLOCKED = f"""
import threading, time
time.sleep = lambda seconds: threading.Event().wait(seconds)
{PROGRAM}
"""


def library() -> Path | None:
    """Where libfaketime is; None where it is not installed."""
    return next((path for path in LIBRARIES if path.exists()), None)


async def clock(folder: Path) -> list[Row]:
    """Feed, page through a search and encode again, with the clock set between one document and the next."""
    found = library()
    if found is None:
        return []
    offset_file = folder / "clock.txt"
    _set(offset_file, "+0")
    faked = {
        "LD_PRELOAD": str(found),
        "FAKETIME_TIMESTAMP_FILE": str(offset_file),
        "FAKETIME_CACHE_DURATION": str(SEEN),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    row, seen = Row("a clock that is set a day ahead and two back during a feed and searches"), set[str]()
    process = Process(folder, CLOCKED, **faked)
    try:
        await process.start()
        async with (
            Client(process.address, timeout=120.0) as client,
            grpc.aio.insecure_channel(process.address) as channel,
        ):
            # Without a deadline: gRPC's core asks the kernel for the time, so that what is left looks wrong to Python.
            search = search_pb2_grpc.SearchServiceStub(channel).Search  # type: ignore[no-untyped-call]
            await client.setup_index(INDEX, IndexOptions())
            feeding = asyncio.create_task(feed(client, documents(), row, seen))
            ids: list[str] = []
            for number, step in enumerate(STEPS, 1):
                while not feeding.done() and len(seen) < DOCUMENTS * number // 4:  # noqa: ASYNC110  # another process
                    await asyncio.sleep(0.01)
                _set(offset_file, step)
            await feeding
            request = SearchRequest(INDEX, "red car", size=SIZE, rerank=True, paginate=True)
            for step in STEPS:
                page = await search(request_to_pb(request))
                ids += [hit.id for hit in page.hits]
                _set(offset_file, step)
                await asyncio.sleep(SEEN + 1)
                request = replace(request, page_token=page.next_page_token)
        row.count(seen, await there(process.path))
        whole = len(set(ids)) == len(ids) == SIZE * len(STEPS) and len(seen) == DOCUMENTS
        row.after = f"{len(ids)} hits of {len(STEPS)} pages, {'each once' if whole else 'NOT EACH ONCE'}"
        row.lost += not whole
    finally:
        process.kill()
    return [row]


def _set(offset_file: Path, offset: str) -> None:
    """At once for its readers: they must not meet an empty file."""
    fresh = offset_file.with_suffix(".new")
    fresh.write_text(f"{offset}\n")
    os.replace(fresh, offset_file)
