from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import weakref
from dataclasses import replace

import pytest

from sidecar.engines.embedded import EmbeddedEngine, first_stage
from sidecar.errors import Code
from sidecar.protocols import Engine
from tests.integration.engines.conftest import META
from tests.unit.sidecar.engines.embedded.conftest import refused


def test_it_is_an_engine(path):
    engine: Engine = EmbeddedEngine(path)
    assert engine


async def test_what_was_written_is_there_after_a_restart(filled, path):
    await filled.engine.aclose()
    again = EmbeddedEngine(path)
    page = await replace(filled, engine=again).search("sun", {"sun": 2.0})
    assert [(hit.id, hit.sparse) for hit in page.hits] == [("a", 2.0), ("b", 2.0), ("c", 2.0)]
    await again.aclose()


async def test_reading_makes_no_file(tmp_path, index):
    engine = EmbeddedEngine(tmp_path / "folder" / "engine.db")
    assert (await refused(engine.meta(index))).code == Code.NOT_FOUND
    await engine.aclose()
    assert list(tmp_path.iterdir()) == []


async def test_another_process_reads_and_writes(filled, path):
    second = replace(filled, engine=EmbeddedEngine(path))
    assert (await second.search("sun", {"sun": 1.0})).total == 3
    await filled.fill(filled.document("d", "sun", {"sun": 1.0}))
    assert (await second.search("sun", {"sun": 1.0})).total == 4
    await second.fill(second.document("a", "moon", {"moon": 1.0}))
    assert (await filled.search("sun", {"sun": 1.0})).total == 3
    await second.engine.aclose()


async def test_ties_are_broken_by_id(bench):
    ids = ["b", "é", "a", "B", "🙂", "10", "9"]
    await bench.fill(*(bench.document(id, "sun", {"sun": 1.0}) for id in ids))
    for size in range(1, len(ids) + 1):
        page = await bench.search("sun", {"sun": 1.0}, size=size)
        assert [hit.id for hit in page.hits] == sorted(ids)[:size]


async def test_what_needs_a_cluster_says_so(filled):
    error = await refused(filled.search("sun", body={"aggs": {}}))
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "'aggs' needs a cluster")


async def test_a_page_that_is_kept_keeps_no_scores_of_all_documents(filled, monkeypatch):
    seen, combine = [], first_stage.combine

    def noted(*arguments):
        parts = combine(*arguments)
        seen.extend(map(weakref.ref, (parts.lexical, parts.sparse, parts.members)))
        return parts

    monkeypatch.setattr(first_stage, "combine", noted)
    page = await filled.search("sun", {"sun": 1.0}, size=1)
    assert [each() is None for each in seen] == [True] * 3
    assert [hit.id for hit in page.hits] == ["a"]


async def test_a_removed_index_takes_no_documents(filled):
    await filled.engine.remove(filled.index)
    (result,) = await filled.engine.write(filled.index, [filled.document("d")])
    assert result.error.code == Code.FAILED_PRECONDITION
    assert f"cherche setup {filled.index}" in result.error.next_step


async def test_a_search_without_time_left_says_so(filled):
    assert (await refused(filled.search("sun", timeout=0.0))).code == Code.DEADLINE_EXCEEDED
    assert (await filled.search("sun", timeout=30.0)).total == 3


async def test_the_event_loop_goes_on_while_documents_are_written(bench):
    turns = 0

    async def count():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await bench.fill(*(bench.document(str(i), "sun " * 100, {"sun": 1.0}) for i in range(300)))
    counting.cancel()
    assert turns > 10


async def test_closing_twice_is_closing_once_and_then_nothing_works(filled):
    await filled.engine.aclose()
    await filled.engine.aclose()
    assert (await refused(filled.engine.stats(filled.index))).code == Code.UNAVAILABLE


FEED = """
import asyncio, sys
from pathlib import Path
from sidecar.engines.embedded import EmbeddedEngine
from sidecar.values.documents import StoredDocument

async def feed(path, index):
    engine = EmbeddedEngine(Path(path))
    for bulk in range(10_000):
        documents = [StoredDocument(f"{bulk}-{i}", {"text": f"sun {bulk}"}, "h", "pending") for i in range(20)]
        assert all(result.error is None for result in await engine.write(index, documents))
        print(bulk, flush=True)

asyncio.run(feed(*sys.argv[1:]))
"""


def feed_and_kill(path, index, bulks):
    """Bulks that a process reported before it was killed."""
    command = [sys.executable, "-c", FEED, str(path), index]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as feeding:
        acknowledged = [int(feeding.stdout.readline()) for _ in range(bulks)]
        feeding.send_signal(signal.SIGKILL)
    return acknowledged


@pytest.mark.parametrize("bulks", [1, 7, 23])
async def test_what_was_acknowledged_survives_a_killed_process(bench, path, bulks):
    await bench.engine.aclose()
    acknowledged = await asyncio.to_thread(feed_and_kill, path, bench.index, bulks)
    survivor = replace(bench, engine=EmbeddedEngine(path))
    held = {found.id async for found in survivor.engine.scan(bench.index)}
    assert {f"{bulk}-{i}" for bulk in acknowledged for i in range(20)} <= held
    assert len(held) % 20 == 0
    assert (await survivor.search("sun", size=0)).total == len(held)
    await survivor.engine.aclose()


async def test_it_lists_its_indices_by_name_and_those_that_are_not_set_up(filled):
    await filled.engine.setup("a-second", META)
    await filled.engine.remove(filled.index)
    listed = await filled.engine.list_indices()
    assert [(group.names, group.meta) for group in listed] == [(("a-second",), META), ((filled.index,), None)]


async def test_a_file_that_is_not_there_lists_no_index(tmp_path):
    engine = EmbeddedEngine(tmp_path / "none.db")
    assert await engine.list_indices() == ()
    await engine.aclose()
    assert not list(tmp_path.iterdir())
