"""`sidecar.protocols.Engine` on one SQLite file.

Searches have a thread and a connection of their own, beside that of all other work: a search does not wait for a feed's
writes, nor for the disk that they are written to, and finds what was written before it. Other processes may read at the
same time, and write one after the other.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Self, TypeVar

import numpy as np

from sidecar.engines.embedded import documents, first_stage, indices, lexical, writes
from sidecar.engines.embedded.connection import Connection
from sidecar.engines.embedded.documents import CheckedDocument
from sidecar.engines.embedded.indices import Index
from sidecar.engines.embedded.postings import Mirror
from sidecar.errors import ChercheError, Code, precondition
from sidecar.protocols import Successors
from sidecar.values.documents import StoredDocument, WriteResult, version_of
from sidecar.values.first_stage import EnginePage, Query
from sidecar.values.index import EngineInfo, Gaps, Identity, IndexGroup, IndexMeta, IndexStats, SetupPlan
from sidecar.values.maintenance import Load, Removal, Room, ShardRange

T = TypeVar("T")

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
MAX_CLAUSES = 65_536
_SCAN_PAGE = 500


class EmbeddedEngine:
    """A store of documents in one file.

    Parameters
    ----------
    path : Path
        The file; the first `setup` creates it, with its folder.
    busy_timeout : float
        Seconds to wait for another process's transaction.
    max_document_bytes : int
        Largest source as JSON.
    """

    def __init__(self, path: Path, *, busy_timeout: float = 5.0, max_document_bytes: int = MAX_DOCUMENT_BYTES) -> None:
        self._max_document_bytes = max_document_bytes
        opening = threading.Lock()
        self._searches = Connection(path, "searches", busy_timeout, opening)
        self._others = Connection(path, "others", busy_timeout, opening)
        self._mirrors: dict[int, tuple[tuple[str, ...], Mirror]] = {}

    def as_caller(self, identity: Identity) -> Self:
        """The same engine: a file has no accounts."""
        return self

    async def info(self) -> EngineInfo:
        """SQLite and its version."""
        return EngineInfo("embedded", f"SQLite {sqlite3.sqlite_version}", MAX_CLAUSES)

    async def meta(self, index: str) -> IndexMeta | None:
        """Settings of `index`; None after `remove`."""
        return (await self._ask(lambda db: indices.get(db, index))).meta

    async def list_indices(self) -> tuple[IndexGroup, ...]:
        """Each index alone, in ascending order of name."""
        return tuple(IndexGroup((index.name,), index.meta) for index in await self._ask(indices.every))

    async def plan(self, index: str, meta: IndexMeta) -> SetupPlan:
        """The statements that `setup` would run."""
        return await self._read(lambda db: indices.plan(db, index, meta))

    async def setup(self, index: str, meta: IndexMeta) -> SetupPlan:
        """Create the index, or change its settings; if the fields change, all text is indexed again."""

        def work(db: sqlite3.Connection) -> SetupPlan:
            plan = indices.plan(db, index, meta)
            indices.setup(db, index, meta)
            return plan

        return await self._write(work, create=True)

    async def remove(self, index: str, *, dry_run: bool = False, keeps_versions: bool = False) -> Removal:
        """Remove all neural data. The documents and their full-text index stay, so that BM25 continues to work."""
        run, step = (self._read, indices.touched) if dry_run else (self._write, indices.remove)
        count = await run(lambda db: step(db, indices.get(db, index)))
        return Removal(count, remains=("the documents and their full-text index: BM25 searches go on",))

    async def requires_routing(self, index: str) -> bool:
        """False: a file has one shard."""
        return False

    async def read(
        self, index: str, ids: Sequence[str], routings: Mapping[str, str] | None = None
    ) -> dict[str, StoredDocument]:
        """The documents with these ids; missing ones are absent."""
        return await self._read(lambda db: documents.read(db, indices.get(db, index).id, ids))

    async def write(self, index: str, items: Sequence[StoredDocument]) -> list[WriteResult]:
        """Write in one transaction. A document that cannot be stored gets its own error; the others are written.

        If the transaction fails (index not set up, disk full, file read-only or locked), nothing is written
        and the result of every document is that error.
        """

        def work(db: sqlite3.Connection) -> list[WriteResult]:
            found = indices.get(db, index)
            if found.meta is None:
                raise precondition(f"index {index!r} is not set up", f"run: cherche setup {index}")
            prepared = [documents.checked(item, found.fields, self._max_document_bytes) for item in items]
            good = [item for item in prepared if isinstance(item, CheckedDocument)]
            if good:
                documents.put(db, found.id, found.fields, indices.next_generation(db, found), good)
            return [_result(item, outcome) for item, outcome in zip(items, prepared, strict=True)]

        try:
            return await self._write(work) if items else []
        except ChercheError as error:
            return [WriteResult(item.id, error) for item in items]

    async def identities(self, index: str) -> frozenset[str]:
        """The index itself: a file has no aliases."""
        return frozenset((index,))

    async def refresh(self, index: str) -> None:
        """Check that the index exists; every committed write is searchable already."""
        await self._ask(lambda db: indices.get(db, index))

    async def search(self, index: str, query: Query) -> EnginePage:
        """Run both parts of the first stage on one consistent state; totals are exact.

        Raises
        ------
        ChercheError
            NOT_FOUND; INVALID_ARGUMENT for what needs a cluster; FAILED_PRECONDITION for an
            expired page token; DEADLINE_EXCEEDED.
        """
        try:
            # The thread finishes its statement even so; only the caller stops waiting.
            async with asyncio.timeout(query.timeout):
                return await self._ask(
                    lambda db: first_stage.search(db, found := indices.get(db, index), self._mirror(db, found), query)
                )
        except TimeoutError as error:
            raise ChercheError(Code.DEADLINE_EXCEEDED, f"the search took longer than {query.timeout:g} s") from error

    async def close_pit(self, pit: str) -> None:
        """Do nothing: no snapshot is held open."""

    async def document_frequencies(
        self, index: str, features: Sequence[tuple[int, str]], *, max_age: float = 0.0
    ) -> tuple[list[int], int]:
        """Number of documents with each term, and of all documents."""
        ids = np.array([id for id, _ in features], np.int64)

        def work(db: sqlite3.Connection) -> tuple[list[int], int]:
            mirror = self._mirror(db, indices.get(db, index))
            return mirror.frequencies(ids), len(mirror)

        return await self._ask(work)

    async def stats(self, index: str) -> IndexStats:
        """Number of documents: all, encoded, pending."""
        return await self._read(lambda db: indices.stats(db, indices.get(db, index)))

    async def hazards(self, index: str) -> tuple[str, ...]:
        """None: a file has no replicas."""
        return ()

    async def gaps(self, index: str, meta: IndexMeta) -> Gaps:
        """Number of documents that have text but no weights or no codes."""
        return await self._read(lambda db: indices.gaps(db, indices.get(db, index), meta))

    async def sample(self, index: str, size: int) -> list[StoredDocument]:
        """A sample of the documents, the same on every call."""
        return await self._read(lambda db: documents.sample(db, indices.get(db, index).id, size))

    async def groups(self, index: str, *, max_age: float = 0.0) -> tuple[IndexGroup, ...]:
        """The index alone: a file has no aliases."""
        return (IndexGroup((index,), await self.meta(index)),)

    async def shards(self, index: str) -> tuple[ShardRange, ...]:
        """The whole index as one shard."""
        return (await self._read(lambda db: writes.shard(indices.get(db, index))),)

    async def pages(
        self, shard: ShardRange, after: int, meta: IndexMeta, *, incomplete: bool = False, whole_source: bool = False
    ) -> AsyncIterator[list[StoredDocument]]:
        """Documents in ascending order of their write count, always with all fields."""
        # Documents of one bulk share a count, so the id is part of the position; no id is smaller than "".
        key = (after + 1, "")

        def work(db: sqlite3.Connection) -> list[StoredDocument]:
            return writes.page(db, shard, key, meta, incomplete=incomplete)

        while page := await self._read(work):
            yield page
            key = (version_of(page[-1]).seq_no, page[-1].id)

    async def foreign_versions(self, index: str, size: int) -> int:
        """None: nobody can give a version to a document of a file."""
        return 0

    async def versions(self, index: str, places: Sequence[tuple[str, str]], meta: IndexMeta) -> list[StoredDocument]:
        """See `Engine.versions`; a file has no routing."""
        return await self._read(lambda db: writes.versions(db, indices.get(db, index), [id for id, _ in places]))

    async def update(self, documents: Sequence[StoredDocument], *, keeps_versions: bool = False) -> list[WriteResult]:
        """One transaction."""
        return await self._write(lambda db: writes.update(db, documents, self._max_document_bytes))

    async def successors(self) -> Successors:
        """Always raise: a file has no aliases.

        Raises
        ------
        ChercheError
            FAILED_PRECONDITION.
        """
        raise precondition(
            "the embedded engine has no aliases, so no index can take another's place",
            "run cherche remove, setup with the new model and backfill",
        )

    async def load(self) -> Load | None:
        """None: a file has no load to measure."""
        return None

    async def room(self, index: str) -> Room | None:
        """None: the free space is not known."""
        return None

    async def scan(self, index: str, ids: Sequence[str] = ()) -> AsyncIterator[StoredDocument]:
        """All documents, or those with one of some ids, in ascending order of id."""
        if ids:
            for _, document in sorted((await self.read(index, ids)).items()):
                yield document
            return
        after = ""
        while page := await self._page(index, after):
            for document in page:
                yield document
            after = page[-1].id

    async def aclose(self) -> None:
        """Close the file; a second call does nothing."""
        await self._searches.aclose()
        await self._others.aclose()

    async def _page(self, index: str, after: str) -> list[StoredDocument]:
        return await self._read(lambda db: documents.page(db, indices.get(db, index).id, after, _SCAN_PAGE))

    async def _ask(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What a search asks: answered beside writes, and beside reads of many documents."""
        return await self._searches.run(work)

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._others.run(work)

    async def _write(self, work: Callable[[sqlite3.Connection], T], *, create: bool = False) -> T:
        return await self._others.run(work, write=True, create=create)

    def _mirror(self, db: sqlite3.Connection, index: Index) -> Mirror:
        fields, mirror = self._mirrors.get(index.id, ((), Mirror()))
        if fields != index.fields:
            mirror = Mirror()  # its lengths are of other fields
        mirror.catch_up(lexical.table(db, index.id, len(index.fields)), index.id, index.generation)
        self._mirrors[index.id] = index.fields, mirror
        return mirror


def _result(document: StoredDocument, outcome: CheckedDocument | ChercheError) -> WriteResult:
    return WriteResult(document.id, outcome if isinstance(outcome, ChercheError) else None)
