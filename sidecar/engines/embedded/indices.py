"""Indices of the file: lookup, setup, removal and statistics."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sidecar.engines.embedded import documents, lexical
from sidecar.errors import ChercheError, invalid, not_found, precondition
from sidecar.values.documents import RANK_FEATURES, Json
from sidecar.values.index import Gaps, IndexMeta, IndexStats, SetupPlan

_NAME = re.compile(r"[^A-Z\\/*?\"<>|\s,#:]+")


@dataclass(frozen=True, slots=True)
class Index:
    """An index: its settings (None after `remove`), its searched fields, and its number of changes."""

    id: int
    name: str
    meta: IndexMeta | None
    fields: tuple[str, ...]
    generation: int

    @property
    def pit(self) -> str:
        """Name of its present state, for page tokens."""
        return f"{self.id}.{self.generation}"


_COLUMNS = "SELECT id, name, meta, fields, generation FROM indices"


def find(connection: sqlite3.Connection, name: str) -> Index | None:
    """Look up an index; None if it does not exist."""
    row = connection.execute(f"{_COLUMNS} WHERE name = ?", (name,)).fetchone()
    return None if row is None else _index(row)


def every(connection: sqlite3.Connection) -> list[Index]:
    """All indices in ascending order of name."""
    return [_index(row) for row in connection.execute(f"{_COLUMNS} ORDER BY name")]


def _index(row: tuple[int, str, str | None, str, int]) -> Index:
    id, name, meta, fields, generation = row
    known = IndexMeta.from_json(json.loads(meta)) if meta is not None else None
    return Index(id, name, known, tuple(json.loads(fields)), generation)


def get(connection: sqlite3.Connection, name: str) -> Index:
    """Look up an index.

    Raises
    ------
    ChercheError
        NOT_FOUND if it does not exist.
    """
    index = find(connection, name)
    if index is None:
        raise missing(name)
    return index


def missing(name: str) -> ChercheError:
    """The error for an index that does not exist."""
    return not_found(f"there is no index {name!r}", f"run: cherche setup {name}")


def check_pit(index: Index, pit: str) -> None:
    """Check that the index is still in the state of a page token.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION if the index has changed.
    """
    if pit and pit != index.pit:
        raise precondition("page token expired: the index changed", "search again")


def plan(connection: sqlite3.Connection, name: str, meta: IndexMeta) -> SetupPlan:
    """The statements that `setup` runs, in order.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for an invalid name or invalid fields; FAILED_PRECONDITION if documents are encoded
        for another model.
    """
    _check(name, meta)
    index = find(connection, name)
    requests = [_request(name, sql, values) for sql, values in _statements(connection, index, name, meta)]
    counts = stats(connection, index) if index else IndexStats(0, 0, 0)
    if index:
        _check_model(index, meta, counts)
    changed = index is not None and index.fields != _fields(meta)
    warnings = (f"the searched fields change: {counts.documents} documents are indexed again",) if changed else ()
    return SetupPlan(tuple(requests), counts.documents, warnings)


def setup(connection: sqlite3.Connection, name: str, meta: IndexMeta) -> None:
    """Run the plan; if the fields changed, index all text again."""
    before = find(connection, name)
    for sql, values in _statements(connection, before, name, meta):
        connection.execute(sql, values)
    if before is not None and before.fields != _fields(meta):
        text = lexical.table(connection, before.id, len(meta.fields))
        documents.index_texts(text, before.id, _fields(meta))


_TOUCHED = "(hash != '' OR state IS NOT NULL OR terms IS NOT NULL OR codes IS NOT NULL)"


def touched(connection: sqlite3.Connection, index: Index) -> int:
    """Documents that have weights, terms, codes or a hash."""
    query = f"SELECT count(*) FROM documents WHERE index_id = ? AND {_TOUCHED}"
    return int(connection.execute(query, (index.id,)).fetchone()[0])


def remove(connection: sqlite3.Connection, index: Index) -> int:
    """Delete weights, terms, codes, hashes and settings; return the number of documents that had any."""
    connection.execute("UPDATE indices SET meta = NULL, generation = generation + 1 WHERE id = ?", (index.id,))
    return connection.execute(
        "UPDATE documents SET hash = '', state = NULL, terms = NULL, codes = NULL, generation = ? "
        f"WHERE index_id = ? AND {_TOUCHED}",
        (index.generation + 1, index.id),
    ).rowcount


def next_generation(connection: sqlite3.Connection, index: Index) -> int:
    """Mark the index as changed and return its new generation."""
    connection.execute("UPDATE indices SET generation = ? WHERE id = ?", (index.generation + 1, index.id))
    return index.generation + 1


def stats(connection: sqlite3.Connection, index: Index) -> IndexStats:
    """Number of documents: all, encoded, pending."""
    counted = connection.execute(
        "SELECT count(*), coalesce(sum(state = 'ok' AND terms IS NOT NULL), 0), "
        "coalesce(sum(state = 'pending'), 0) FROM documents WHERE index_id = ?",
        (index.id,),
    ).fetchone()
    return IndexStats(*counted)


def gaps(connection: sqlite3.Connection, index: Index, meta: IndexMeta) -> Gaps:
    """Number of documents that have text but no weights or no codes, by reason."""
    reason = (
        "CASE WHEN state = 'no_text' THEN NULL WHEN hash = '' AND state IS NULL THEN 'untouched' "
        "WHEN coalesce(state, '') != 'ok' THEN 'waiting' "
        "WHEN terms IS NULL THEN 'lost' WHEN codes IS NULL AND ? THEN 'without_codes' END"
    )
    rows = connection.execute(
        f"SELECT source, {reason} AS reason FROM documents WHERE index_id = ? AND reason IS NOT NULL",
        (meta.stores_codes, index.id),
    )
    names = [field.name for field in meta.fields]
    return Gaps(
        **Counter(reason for source, reason in rows if any(map(str.strip, lexical.texts(json.loads(source), names))))
    )


def _statements(
    connection: sqlite3.Connection, index: Index | None, name: str, meta: IndexMeta
) -> list[tuple[str, tuple[object, ...]]]:
    fields = _fields(meta)
    stored = json.dumps(meta.to_json(), ensure_ascii=False)
    listed = json.dumps(fields, ensure_ascii=False)
    if index is None:
        # Chosen beforehand, as it is part of the full-text table's name, which the plan shows.
        id = connection.execute("SELECT coalesce(max(id), 0) + 1 FROM indices").fetchone()[0]
        return [
            (
                "INSERT INTO indices (id, name, meta, fields, generation) VALUES (?, ?, ?, ?, 0)",
                (id, name, stored, listed),
            ),
            *((sql, ()) for sql in lexical.table(connection, id, len(fields)).create_sql),
        ]
    if index.fields == fields:
        return [("UPDATE indices SET meta = ? WHERE id = ?", (stored, index.id))]
    text = lexical.table(connection, index.id, len(fields))
    return [
        (
            "UPDATE indices SET meta = ?, fields = ?, generation = generation + 1 WHERE id = ?",
            (stored, listed, index.id),
        ),
        *((sql, ()) for sql in (*text.drop_sql, *text.create_sql)),
    ]


def _request(name: str, sql: str, values: Sequence[object]) -> Json:
    return {"method": "SQL", "path": name, "body": {"statement": sql, "values": list(values)}}


def _check(name: str, meta: IndexMeta) -> None:
    """Accept only names that a cluster accepts too, so that an index can move there."""
    if not _NAME.fullmatch(name) or name[0] in "-_+" or name in (".", "..") or len(name.encode()) > 255:
        raise invalid(f"index name {name!r} cannot be used", 'lower case, no spaces, none of \\/*?"<>|,#:')
    if not meta.fields:
        raise invalid(f"index {name!r} has no fields to search", "name them: --fields title,text")
    if len(set(_fields(meta))) != len(meta.fields):
        raise invalid(f"index {name!r} names a field twice: {', '.join(_fields(meta))}")
    if meta.weights != RANK_FEATURES:
        raise precondition(f"the embedded engine has no {meta.weights} weights", "leave out --weights")


def _check_model(index: Index, meta: IndexMeta, counts: IndexStats) -> None:
    """Refuse a second model for documents that are encoded already."""
    before = index.meta
    if before is not None and before.voided_by(meta) and counts.encoded:
        raise precondition(
            f"index {index.name!r} holds {counts.encoded} documents encoded for {before.model}, not for {meta.model}",
            f"run: cherche remove {index.name}, then set it up and feed it again",
        )


def _fields(meta: IndexMeta) -> tuple[str, ...]:
    return tuple(field.name for field in meta.fields)
