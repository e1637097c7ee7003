"""Tables of the file, opening it, and SQLite's errors as typed errors."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sidecar.engines.embedded import documents, lexical
from sidecar.errors import ChercheError, Code, precondition, unavailable
from sidecar.observe import logs

APPLICATION_ID = 0x63686572  # "cher" in the header of the file
VERSION = 2

_TABLES = """
CREATE TABLE indices (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    meta TEXT,
    fields TEXT NOT NULL,
    generation INTEGER NOT NULL
);
CREATE TABLE documents (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    index_id INTEGER NOT NULL REFERENCES indices (id),
    id TEXT NOT NULL,
    source TEXT NOT NULL,
    hash TEXT NOT NULL,
    state TEXT,
    terms BLOB,
    codes BLOB,
    generation INTEGER NOT NULL,
    UNIQUE (index_id, id)
);
CREATE INDEX documents_by_generation ON documents (index_id, generation);
"""


def connect(path: Path, *, create: bool, busy_timeout: float) -> sqlite3.Connection:
    """Open the file, creating it if `create`, and check that it is a file of this engine.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION if it cannot be opened, or belongs to another program or a later release.
    """
    with translated(path):
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
            # It holds documents. SQLite gives its other files (-wal, -shm) the same mode.
            if not path.exists():
                path.touch(mode=0o600)
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}",
            uri=True,
            timeout=busy_timeout,
            # No implicit BEGIN of the sqlite3 module: see `transaction`.
            isolation_level=None,
        )
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def connect_empty() -> sqlite3.Connection:
    """An empty database in memory, with the tables of a new file."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    _create(connection)
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    version = VERSION if empty else _version(connection, path)
    # In WAL mode the weaker NORMAL may lose an acknowledged write when the power fails.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -32768")  # KiB, as it is negative
    if empty:
        connection.execute("PRAGMA journal_mode = WAL")
        with transaction(connection):
            _create(connection)
    elif version < VERSION:
        _upgrade(connection, path)


def _create(connection: sqlite3.Connection) -> None:
    """Create the tables, unless another process has done so meanwhile."""
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        return
    # Not executescript, which would commit the transaction first.
    for statement in _TABLES.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def _upgrade(connection: sqlite3.Connection, path: Path) -> None:
    """Index all texts again: layout 1 kept words otherwise. Page tokens expire, since scores change."""
    with transaction(connection):
        if _version(connection, path) == VERSION:  # another process was first
            return
        found = connection.execute("SELECT id, fields FROM indices").fetchall()
        for index_id, fields in found:
            names = json.loads(fields)
            text = lexical.table(connection, index_id, len(names))
            for statement in text.drop_sql:
                connection.execute(statement)
            text.create()
            documents.index_texts(text, index_id, names)
        connection.execute("UPDATE indices SET generation = generation + 1")
        connection.execute(f"PRAGMA user_version = {VERSION}")
    logs.get("engine").warning(
        "a file of an earlier release was upgraded: its texts were indexed again", path=str(path), indices=len(found)
    )


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """Layout of the file.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION if it belongs to another program or a later release.
    """
    owner = connection.execute("PRAGMA application_id").fetchone()[0]
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if owner != APPLICATION_ID:
        raise precondition(f"{path} belongs to another program", "name another file: CHERCHE_EMBEDDED__PATH")
    if not 1 <= version <= VERSION:
        raise precondition(f"{path} has layout {version}, this release reads {VERSION}", "upgrade cherche")
    return version


@contextmanager
def transaction(connection: sqlite3.Connection, *, write: bool = True) -> Iterator[None]:
    """Run a block as one transaction: all or nothing, and one consistent state for reads."""
    # A deferred transaction that turns into a write fails at once with SQLITE_BUSY, without the busy timeout.
    connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # Where the disk is full or fails, SQLite may have rolled back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn errors of SQLite and the file system into errors that name the file and the next step."""
    try:
        yield
    except sqlite3.Error as error:
        raise explain(error, path) from error
    except OSError as error:
        raise precondition(f"{path} cannot be opened: {error.strerror}", "name another file") from error


def explain(error: sqlite3.Error, path: Path) -> ChercheError:
    """The typed error for an SQLite error.

    >>> str(explain(sqlite3.OperationalError("no such table"), Path("i.db")))
    'i.db: no such table'
    """
    primary = getattr(error, "sqlite_errorcode", 0) & 0xFF  # extended codes hold the primary one in the low byte
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return unavailable(f"{path} is locked by another process", "end its transaction, then try again")
    if primary in _REASONS:
        reason, step = _REASONS[primary]
        return precondition(f"{path} {reason}", step)
    return ChercheError(Code.INTERNAL, f"{path}: {error}")


_REASONS = {
    sqlite3.SQLITE_FULL: ("cannot grow: the disk is full", "free space, then feed again"),
    sqlite3.SQLITE_READONLY: ("is read-only", "make the file and its folder writable, or name another file"),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "check that its folder exists and is writable"),
    sqlite3.SQLITE_PERM: ("may not be accessed", "check the file's permissions"),
    sqlite3.SQLITE_NOTADB: ("is not an SQLite file", "name another file: CHERCHE_EMBEDDED__PATH"),
    sqlite3.SQLITE_CORRUPT: ("is damaged", "restore a copy, or set up and feed a new file"),
    sqlite3.SQLITE_IOERR: ("cannot be read or written", "check the disk, then try again"),
}
