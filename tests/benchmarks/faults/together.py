"""What callers do to each other's index."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sidecar.engines.embedded import EmbeddedEngine
from sidecar.errors import ChercheError
from sidecar.testing import FakeModel, running_server
from sidecar.values.index import IndexOptions
from sidecar.values.search import SearchRequest
from tests.benchmarks.faults.row import DOCUMENTS, INDEX, Row, documents, feed


async def together(folder: Path) -> list[Row]:
    """Two feeds of one index, a feed while the index is removed, and a model that the index was not set up with."""
    rows = []
    engine = EmbeddedEngine(folder / "index.sqlite")
    model = FakeModel(latency=0.01)
    try:
        async with running_server(engine, [model]) as server:
            await server.client.setup_index(INDEX, IndexOptions())
            row, seen = Row("two feeds of one index, half of the ids the same"), set[str]()
            halves = (documents(300), documents(300, 150))
            await asyncio.gather(*(feed(server.client, half, row, seen) for half in halves))
            row.count(seen, {one.id async for one in engine.scan(INDEX) if one.state == "ok"})
            row.after = f"{row.stored} documents, each once"
            rows.append(row)

            row, seen = Row("a feed while the index is removed"), set[str]()
            feeding = asyncio.create_task(feed(server.client, documents(DOCUMENTS, 1000), row, seen))
            await asyncio.sleep(0.1)
            await server.client.remove_index(INDEX)
            await feeding
            await server.client.setup_index(INDEX, IndexOptions())
            # Removed with the index on purpose: what counts is that a feed afterwards is whole.
            seen = set()
            await feed(server.client, documents(50, 2000), row, seen)
            row.count(seen, {one.id async for one in engine.scan(INDEX) if one.state == "ok"})
            row.after = f"set up again, {len(seen)} of 50 stored"
            rows.append(row)
        other = FakeModel(name="other", dim=8)
        async with running_server(engine, [other]) as server:
            row, seen = Row("a model of another fingerprint"), set[str]()
            await feed(server.client, documents(10, 3000), row, seen)
            row.count(
                seen, {one.id async for one in engine.scan(INDEX) if one.id in {f"d{n}" for n in range(3000, 3010)}}
            )
            try:
                await server.client.search(SearchRequest(INDEX, "red car", mode="sparse"))
            except ChercheError as error:
                row.errors.append(error.code.value)
            row.after = "nothing is written, nothing is ranked by another model"
            rows.append(row)
    finally:
        await engine.aclose()
    return rows
