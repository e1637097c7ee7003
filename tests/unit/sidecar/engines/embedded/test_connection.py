from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

from sidecar.engines.embedded import EmbeddedEngine
from sidecar.engines.embedded.connection import Connection
from sidecar.errors import Code
from tests.integration.engines.conftest import META
from tests.unit.sidecar.engines.embedded.conftest import refused


async def test_a_search_does_not_wait_for_a_write_and_sees_it_once_it_is_done(filled):
    begun, go_on = threading.Event(), threading.Event()

    def slow(db):
        begun.set()
        assert go_on.wait(60)

    writing = asyncio.create_task(filled.engine._write(slow))
    try:
        await asyncio.to_thread(begun.wait, 60)
        fed = asyncio.create_task(filled.fill(filled.document("d", "sun", {"sun": 1.0})))
        async with asyncio.timeout(30):
            assert (await filled.search("sun", {"sun": 1.0})).total == 3
            assert await filled.engine.meta(filled.index) == META
    finally:
        go_on.set()
    await asyncio.gather(writing, fed)
    assert (await filled.search("sun", {"sun": 1.0})).total == 4


async def test_a_file_that_is_being_made_is_not_met_half_made(path, bench):
    for number in range(20):
        engine = EmbeddedEngine(path.with_name(f"{number}.db"))
        _, listed = await asyncio.gather(engine.setup("one", META), engine.list_indices())
        assert len(listed) <= 1
        again = replace(bench, engine=engine, index="one")
        await again.fill(again.document("a", "sun", {"sun": 1.0}))
        assert (await again.search("sun", {"sun": 1.0})).total == 1
        await engine.aclose()


async def test_after_the_end_nothing_is_run(path):
    connection = Connection(path, "test", 1.0, threading.Lock())
    assert await connection.run(lambda db: db.execute("SELECT 1").fetchone()) == (1,)
    await connection.aclose()
    await connection.aclose()
    assert (await refused(connection.run(lambda db: None))).code is Code.UNAVAILABLE
    assert not path.exists()
