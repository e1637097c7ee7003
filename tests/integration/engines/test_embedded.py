"""What only a file can do, or suffer."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace

import pytest

from sidecar.engines.embedded import EmbeddedEngine
from sidecar.errors import ChercheError, Code
from sidecar.protocols import Engine
from sidecar.values.index import TextField


@pytest.fixture
def engine_name():
    return "embedded"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "engine.db"


@pytest.fixture
async def filled(bench):
    await bench.fill(*(bench.document(id, "sun", {"sun": 1.0}) for id in "abc"))
    return bench


async def refused(call):
    with pytest.raises(ChercheError) as caught:
        await call
    return caught.value


def test_it_is_an_engine(embedded):
    engine: Engine = embedded
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


async def test_the_folder_is_made(tmp_path, bench):
    engine = EmbeddedEngine(tmp_path / "some" / "folder" / "engine.db")
    await engine.setup("articles", bench.meta)
    assert await engine.meta("articles") == bench.meta
    await engine.aclose()


async def test_indices_of_one_file_do_not_meet(filled):
    other = replace(filled, index="other")
    await other.engine.setup("other", other.meta)
    await other.fill(other.document("z", "sun", {"sun": 1.0}))
    assert [hit.id for hit in (await other.search("sun", {"sun": 1.0})).hits] == ["z"]
    assert (await filled.search("sun", {"sun": 1.0})).total == 3
    await filled.engine.remove(filled.index)
    assert (await other.search(weights={"sun": 1.0})).total == 1


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


async def test_other_fields_index_the_text_again(filled):
    await filled.fill(filled.document("d", "moon", {"moon": 1.0}, body="sun"))
    changed = replace(filled.meta, fields=(TextField("body"),))
    plan = await filled.engine.setup(filled.index, changed)
    assert plan.warnings == ("the searched fields change: 4 documents are indexed again",)
    page = await filled.search("sun", fields=(TextField("body"),))
    assert [hit.id for hit in page.hits] == ["d"]
    await filled.fill(filled.document("d", "moon", {"moon": 1.0}, body="star"))
    assert (await filled.search("sun", fields=(TextField("body"),))).total == 0


async def test_a_page_token_expires_with_the_next_write(filled):
    page = await filled.search("sun", keep_pit=True)
    await filled.write(replace(filled.document("p"), source={"x": float("nan")}))
    assert (await filled.search("sun", pit=page.pit)).pit == page.pit
    await filled.fill(filled.document("d"))
    error = await refused(filled.search("sun", pit=page.pit))
    assert error.code == Code.FAILED_PRECONDITION
    assert str(error) == "page token expired: the index changed — search again"


async def test_what_needs_a_cluster_says_so(filled):
    error = await refused(filled.search("sun", body={"aggs": {}}))
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "'aggs' needs a cluster")


async def test_a_removed_index_takes_no_documents(filled):
    await filled.engine.remove(filled.index)
    (result,) = await filled.engine.write(filled.index, [filled.document("d")])
    assert result.error.code == Code.FAILED_PRECONDITION
    assert f"cherche setup {filled.index}" in result.error.next_step


@pytest.mark.parametrize("name", ["", "Articles", "a b", "a/b", "-a", "..", "a*", "a" * 256])
async def test_names_that_a_cluster_refuses_are_refused(engine, bench, name):
    assert (await refused(engine.setup(name, bench.meta))).code == Code.INVALID_ARGUMENT


async def test_an_index_without_fields_is_refused(engine, bench, index):
    assert "name them" in (await refused(engine.setup(index, replace(bench.meta, fields=())))).next_step


async def test_a_document_over_the_limit_fails_alone(path, bench):
    small = replace(bench, engine=EmbeddedEngine(path, max_document_bytes=100))
    results = await small.write(small.document("a", "sun"), small.document("b", "x" * 100), small.document("c", "sun"))
    assert [result.error and result.error.reason for result in results] == [
        None,
        "document 'b' has 111 bytes, the limit is 100",
        None,
    ]
    await small.engine.aclose()


async def test_a_document_with_other_bytes_for_terms_fails_alone(bench):
    for wrong in ({"terms": b"?"}, {"codes": b"?"}):
        good, bad = bench.document("a", "sun", {"sun": 1.0}), bench.document("b", "sun", {"sun": 1.0})
        results = await bench.write(replace(bad, **wrong), good)
        assert [result.error is None for result in results] == [False, True]


async def test_a_locked_file_is_unavailable_and_nothing_is_written(filled, path):
    waiting = replace(filled, engine=EmbeddedEngine(path, busy_timeout=0.01))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert (await waiting.search("sun")).total == 3
        results = await waiting.engine.write(waiting.index, [waiting.document("d"), waiting.document("e")])
        assert {result.error.code for result in results} == {Code.UNAVAILABLE}
        assert str(path) in results[0].error.reason
        other.execute("ROLLBACK")
    await waiting.fill(waiting.document("d"))
    await waiting.engine.aclose()


@pytest.mark.parametrize(
    ("pragma", "reason"), [("query_only = ON", "is read-only"), ("max_page_count = 1", "the disk is full")]
)
async def test_a_file_that_cannot_be_written_fails_every_document(filled, path, pragma, reason):
    await filled.engine._read(lambda db: db.execute(f"PRAGMA {pragma}"))
    documents = [filled.document(id, "sun " * 50_000) for id in "de"]
    results = await filled.engine.write(filled.index, documents)
    assert {result.error.code for result in results} == {Code.FAILED_PRECONDITION}
    assert f"{path}" in results[0].error.reason
    assert reason in results[0].error.reason
    assert results[0].error.next_step
    assert (await filled.search("sun")).total == 3


async def test_files_of_others_are_left_alone(tmp_path, bench, index):
    others, text, later, folder = (tmp_path / name for name in ("others.db", "text.db", "later.db", "folder.db"))
    with closing(sqlite3.connect(others)) as db:
        db.execute("CREATE TABLE theirs (x)")
    text.write_bytes(b"These are not the bytes of a database." * 100)
    folder.mkdir()
    await bench.engine.aclose()
    shutil.copy(tmp_path / "engine.db", later)
    with closing(sqlite3.connect(later)) as db:
        db.execute("PRAGMA user_version = 99")
    for path, reason in (
        (others, "belongs to another program"),
        (text, "is not an SQLite file"),
        (later, "has layout 99, this release reads 1"),
        (folder, "cannot be opened"),
    ):
        engine = EmbeddedEngine(path)
        error = await refused(engine.setup(index, bench.meta))
        assert (error.code, str(path) in error.reason, reason in error.reason) == (Code.FAILED_PRECONDITION, True, True)
        await engine.aclose()


async def test_damaged_term_weights_are_told_and_cost_only_their_document(filled, path):
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE documents SET terms = x'00', generation = generation + 1 WHERE id = 'b'")
        db.execute("UPDATE indices SET generation = generation + 1")
    page = await filled.search(weights={"sun": 1.0})
    assert [hit.id for hit in page.hits] == ["a", "c"]
    assert page.warnings == ("1 documents have damaged term weights (b): feed them again",)


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
