from __future__ import annotations

import io
import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from sidecar.engines.embedded import EmbeddedEngine, schema
from sidecar.errors import ChercheError, Code
from sidecar.observe import logs
from tests.unit.sidecar.engines.embedded.conftest import refused


async def test_the_folder_is_made(tmp_path, bench):
    engine = EmbeddedEngine(tmp_path / "some" / "folder" / "engine.db")
    await engine.setup("articles", bench.meta)
    assert await engine.meta("articles") == bench.meta
    await engine.aclose()


async def test_the_file_is_its_owners_alone(tmp_path, bench):
    path = tmp_path / "engine.db"
    engine = EmbeddedEngine(path)
    await engine.setup("articles", bench.meta)
    modes = {each.name: oct(each.stat().st_mode & 0o777) for each in tmp_path.iterdir()}
    assert modes == dict.fromkeys(("engine.db", "engine.db-wal", "engine.db-shm"), "0o600")
    await engine.aclose()


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
        (later, "has layout 99, this release reads 2"),
        (folder, "cannot be opened"),
    ):
        engine = EmbeddedEngine(path)
        error = await refused(engine.setup(index, bench.meta))
        assert (error.code, str(path) in error.reason, reason in error.reason) == (Code.FAILED_PRECONDITION, True, True)
        await engine.aclose()


def in_layout_1(path):
    """Turn a file into one of the first release, whose full-text tables FTS5 split and scored itself."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("DROP TABLE text_1_stems")
        db.execute("DROP TABLE text_1")
        db.execute("CREATE VIRTUAL TABLE text_1 USING fts5(c0, c1, content='', tokenize='porter unicode61')")
        db.execute("INSERT INTO text_1 (rowid, c0, c1) SELECT row, '', source ->> 'text' FROM documents")
        db.execute("PRAGMA user_version = 1")


async def test_a_file_of_the_first_release_is_upgraded_when_it_is_opened(filled, path):
    await filled.fill(filled.document("d", "What's 3.5 of the sun?"))
    pit = (await filled.search("sun", keep_pit=True)).pit
    expected = [(hit.id, hit.score) for hit in (await filled.search("what 3.5 sun")).hits]
    await filled.engine.aclose()
    in_layout_1(path)
    logs.configure("warning", stream := io.StringIO())
    for _ in range(2):
        opened = replace(filled, engine=EmbeddedEngine(path))
        assert [(hit.id, hit.score) for hit in (await opened.search("what 3.5 sun")).hits] == expected
        assert "page token expired" in (await refused(opened.search("sun", pit=pit))).reason
        await opened.fill(opened.document("d", "What's 3.5 of the sun?"))
        await opened.engine.aclose()
    [line] = map(json.loads, stream.getvalue().splitlines())
    assert (line["event"], line["path"], line["indices"]) == (
        "a file of an earlier release was upgraded: its texts were indexed again",
        str(path),
        1,
    )


async def test_a_file_of_the_first_release_that_cannot_be_written_says_so(filled, path):
    await filled.engine.aclose()
    in_layout_1(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = replace(filled, engine=EmbeddedEngine(path, busy_timeout=0.01))
        assert (await refused(waiting.search("sun"))).code == Code.UNAVAILABLE
        other.execute("ROLLBACK")
    assert (await waiting.search("sun")).total == 3
    await waiting.engine.aclose()


def test_a_transaction_is_all_or_nothing():
    with closing(schema.connect_empty()) as db:
        insert = "INSERT INTO indices (name, fields, generation) VALUES (?, '[]', 0)"
        with pytest.raises(sqlite3.IntegrityError), schema.transaction(db):
            db.executemany(insert, [("a",), ("a",)])
        assert db.execute("SELECT count(*) FROM indices").fetchone() == (0,)


def test_an_unknown_error_is_internal(path):
    with closing(schema.connect_empty()) as db, pytest.raises(ChercheError) as caught, schema.translated(path):
        db.execute("SELECT * FROM missing")
    assert (caught.value.code, caught.value.reason) == (Code.INTERNAL, f"{path}: no such table: missing")
