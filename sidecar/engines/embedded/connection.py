"""A thread and the connection that it owns, so that the event loop never waits for the disk."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from sidecar.engines.embedded import schema
from sidecar.errors import unavailable

T = TypeVar("T")


class Connection:
    """Runs transactions one after the other.

    Parameters
    ----------
    path : Path
        The file; it is opened when it is there, or may be created.
    name : str
        Of the thread.
    busy_timeout : float
        Seconds to wait for the transaction of another connection.
    opening : threading.Lock
        The same for all connections of an engine: none may meet a file whose tables another one is just making.
    """

    def __init__(self, path: Path, name: str, busy_timeout: float, opening: threading.Lock) -> None:
        self._path, self._busy_timeout, self._opening = path, busy_timeout, opening
        self._worker = ThreadPoolExecutor(1, thread_name_prefix=f"cherche-sqlite-{name}")
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    async def run(self, work: Callable[[sqlite3.Connection], T], *, write: bool = False, create: bool = False) -> T:
        """One transaction.

        Parameters
        ----------
        create : bool
            Whether to make the file where there is none.

        Raises
        ------
        ChercheError
            Of SQLite, see `schema.explain`; UNAVAILABLE after `aclose`.
        """
        if self._closed:
            raise unavailable(f"{self._path} is closed")

        def call() -> T:
            with self._connected(create) as db, schema.translated(self._path), schema.transaction(db, write=write):
                return work(db)

        return await asyncio.get_running_loop().run_in_executor(self._worker, call)

    async def aclose(self) -> None:
        """Close it; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(self._worker, self._close)
        self._worker.shutdown(wait=True)

    @contextmanager
    def _connected(self, create: bool) -> Iterator[sqlite3.Connection]:
        """The connection to the file, or to an empty database in memory while the file does not exist."""
        with self._opening:
            if self._connection is None and (create or self._path.exists()):
                self._connection = schema.connect(self._path, create=create, busy_timeout=self._busy_timeout)
        if self._connection is not None:
            yield self._connection
            return
        # A file that does not exist holds no index, and reading must not create it.
        with closing(schema.connect_empty()) as empty:
            yield empty

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
