"""Documents in the order of their writes, and updates of their neural part with a conflict check.

An index of the file is one shard, and its write counter serves as sequence number. All documents
of one bulk have the same one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace

from sidecar.engines.embedded import documents, indices
from sidecar.engines.embedded.indices import Index
from sidecar.errors import ChercheError, Code, not_found
from sidecar.values.documents import StoredDocument, Version, WriteResult, version_of
from sidecar.values.index import IndexMeta
from sidecar.values.maintenance import ShardRange

PAGE = 128


def shard(index: Index) -> ShardRange:
    """The whole index, up to its last write."""
    return ShardRange(index.name, str(index.id), 0, index.generation)


def page(
    connection: sqlite3.Connection, shard: ShardRange, after: tuple[int, str], meta: IndexMeta, *, incomplete: bool
) -> list[StoredDocument]:
    """The next documents in ascending order of write count and id."""
    complete = (
        "coalesce(state = 'no_text' OR state = 'ok' AND terms IS NOT NULL AND (codes IS NOT NULL OR NOT :codes), 0)"
    )
    rows = connection.execute(
        f"SELECT id, source, hash, state, {complete}, generation FROM documents WHERE index_id = :index "
        "AND (generation, id) > (:after, :id) AND generation <= :mark "
        f"AND NOT (:incomplete AND {complete}) ORDER BY generation, id LIMIT :size",
        {
            "codes": meta.stores_codes,
            "index": int(shard.uuid),
            "after": after[0],
            "id": after[1],
            "mark": shard.mark,
            "incomplete": incomplete,
            "size": PAGE,
        },
    )
    return [
        StoredDocument(
            id,
            documents.read_source(id, source),
            hash,
            state,
            is_complete=bool(is_complete),
            version=Version(generation, 1, shard.index),
        )
        for id, source, hash, state, is_complete, generation in rows
    ]


def versions(connection: sqlite3.Connection, index: Index, ids: Sequence[str]) -> list[StoredDocument]:
    """Documents by id, each with the count of its last write."""
    found = documents.read(connection, index.id, ids)
    slots = ", ".join("?" * len(found))
    rows = connection.execute(
        f"SELECT id, generation FROM documents WHERE index_id = ? AND id IN ({slots})", (index.id, *found)
    )
    return [replace(found[id], version=Version(generation, 1, index.name)) for id, generation in rows]


def update(connection: sqlite3.Connection, updates: Sequence[StoredDocument], max_bytes: int) -> list[WriteResult]:
    """Write the neural part of documents of one index; those that changed since they were read are not updated."""
    if not updates:
        return []
    index = indices.get(connection, version_of(updates[0]).index)
    counter = indices.next_generation(connection, index)
    return [WriteResult(one.id, _update(connection, index, counter, one, max_bytes)) for one in updates]


def _update(
    connection: sqlite3.Connection, index: Index, counter: int, document: StoredDocument, max_bytes: int
) -> ChercheError | None:
    row = connection.execute(
        "SELECT row, generation FROM documents WHERE index_id = ? AND id = ?", (index.id, document.id)
    ).fetchone()
    if row is None:
        return not_found(f"document {document.id!r} was deleted")
    if row[1] != version_of(document).seq_no:
        return ChercheError(Code.ABORTED, f"document {document.id!r} was written meanwhile", "read it again")
    checked = documents.checked(document, index.fields, max_bytes)
    if isinstance(checked, ChercheError):
        return checked
    connection.execute(
        "UPDATE documents SET hash = ?, state = ?, terms = ?, codes = ?, generation = ? WHERE row = ?",
        (document.hash, document.state, document.terms, document.codes, counter, row[0]),
    )
    return None
