"""Documents in the order of their writes, and their neural part written anew where nobody wrote them meanwhile.

An index of the file is one part, and its write counter takes the place of a shard's sequence numbers. All
documents of one bulk share a count.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from sidecar.engines.embedded import documents, indices
from sidecar.engines.embedded.indices import Index
from sidecar.errors import ChercheError, Code, not_found
from sidecar.values.documents import WriteResult
from sidecar.values.index import IndexMeta
from sidecar.values.maintenance import Candidate, Part, Revision

PAGE = 128


def part(index: Index) -> Part:
    """The whole index, up to its last write."""
    return Part(index.name, str(index.id), 0, index.generation)


def page(
    connection: sqlite3.Connection, part: Part, after: tuple[int, str], meta: IndexMeta, *, unfinished: bool
) -> list[Candidate]:
    """The next documents by rising write count and id."""
    whole = "coalesce(state = 'ok' AND terms IS NOT NULL AND (codes IS NOT NULL OR NOT :codes), 0)"
    rows = connection.execute(
        f"SELECT id, source, hash, state, {whole}, generation FROM documents WHERE index_id = :index "
        "AND (generation, id) > (:after, :id) AND generation <= :mark "
        f"AND NOT (:unfinished AND {whole}) ORDER BY generation, id LIMIT :size",
        {
            "codes": bool(meta.fingerprint.codes),
            "index": int(part.uuid),
            "after": after[0],
            "id": after[1],
            "mark": part.mark,
            "unfinished": unfinished,
            "size": PAGE,
        },
    )
    return [
        Candidate(id, json.loads(source), hash, state, bool(whole), part.index, "", generation, 1)
        for id, source, hash, state, whole, generation in rows
    ]


def revise(connection: sqlite3.Connection, revisions: Sequence[Revision], max_bytes: int) -> list[WriteResult]:
    """Write what is still as it was read; all of one index."""
    if not revisions:
        return []
    index = indices.get(connection, revisions[0].candidate.index)
    counter = indices.next_generation(connection, index)
    return [WriteResult(one.candidate.id, _revise(connection, index, counter, one, max_bytes)) for one in revisions]


def _revise(
    connection: sqlite3.Connection, index: Index, counter: int, revision: Revision, max_bytes: int
) -> ChercheError | None:
    candidate, document = revision.candidate, revision.document
    row = connection.execute(
        "SELECT row, generation FROM documents WHERE index_id = ? AND id = ?", (index.id, candidate.id)
    ).fetchone()
    if row is None:
        return not_found(f"document {candidate.id!r} was deleted")
    if row[1] != candidate.seq_no:
        return ChercheError(Code.ABORTED, f"document {candidate.id!r} was written meanwhile", "read it again")
    checked = documents.checked(document, index.fields, max_bytes)
    if isinstance(checked, ChercheError):
        return checked
    connection.execute(
        "UPDATE documents SET hash = ?, state = ?, terms = ?, codes = ?, generation = ? WHERE row = ?",
        (document.hash, document.state, document.terms, document.codes, counter, row[0]),
    )
    return None
