"""Documents in the file: checking, writing and reading them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from cherche_models.codec import CodecError, codes_header
from cherche_models.codes.terms import unpack_terms
from cherche_models.lexical import FullText
from sidecar.engines.embedded import lexical
from sidecar.errors import ChercheError, invalid, precondition, quoted
from sidecar.values.documents import Json, State, StoredDocument

MAX_ID_BYTES = 512
# SQLite before 3.32 takes at most 999 parameters in a statement.
_BATCH = 500

_Columns: TypeAlias = tuple[str, str, str, State | None, bytes | None, bytes | None]
"""Id, source, hash, state, terms and codes."""


@dataclass(frozen=True, slots=True)
class CheckedDocument:
    """A document that can be written: `source` is canonical JSON, `texts` are its searched fields."""

    id: str
    source: str
    texts: list[str]
    document: StoredDocument


def canonical(source: Json) -> str:
    """Canonical JSON: equal documents are equal strings.

    >>> canonical({"b": 1, "a": "é"})
    '{"a":"é","b":1}'
    """
    return json.dumps(source, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def prepare(document: StoredDocument, fields: Sequence[str], max_bytes: int) -> CheckedDocument:
    """Check whatever could fail, before the transaction begins.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT naming the document and what is wrong with it.
    """
    _check_id(document.id)
    try:
        source = canonical(document.source)
        size = len(source.encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise invalid(f"document {document.id!r} is not JSON: {error}") from error
    if size > max_bytes:
        raise invalid(f"document {document.id!r} has {size:,} bytes, the limit is {max_bytes:,}")
    try:
        if document.terms is not None:
            unpack_terms(document.terms)
        if document.codes is not None:
            codes_header(document.codes)
    except CodecError as error:
        raise invalid(f"document {document.id!r}: {error}") from error
    return CheckedDocument(document.id, source, lexical.texts(document.source, fields), document)


def checked(document: StoredDocument, fields: Sequence[str], max_bytes: int) -> CheckedDocument | ChercheError:
    """`prepare`, with the error as a return value, so that it fails one document and not the bulk."""
    try:
        return prepare(document, fields, max_bytes)
    except ChercheError as error:
        return error


def _check_id(id: str) -> None:
    if not id:
        raise invalid("a document has an empty id", 'give it one: "_id" or "id"')
    try:
        size = len(id.encode())
    except UnicodeEncodeError as error:
        raise invalid(f"id {id!r} is not valid Unicode: {error.reason}") from error
    if size > MAX_ID_BYTES:
        raise invalid(f"id {quoted(id)} has {size} bytes, the limit is {MAX_ID_BYTES}")


def put(
    connection: sqlite3.Connection,
    index_id: int,
    fields: Sequence[str],
    generation: int,
    items: Iterable[CheckedDocument],
) -> None:
    """Insert or replace documents in order; of two with the same id the later one stays."""
    text = lexical.table(connection, index_id, len(fields))
    for item in items:
        _put(text, index_id, fields, generation, item)


def _put(text: FullText, index_id: int, fields: Sequence[str], generation: int, item: CheckedDocument) -> None:
    """Insert or replace one document; its text is indexed again only if it changed."""
    connection = text.connection
    document = item.document
    values = (item.source, document.hash, document.state, document.terms, document.codes, generation)
    found = connection.execute(
        "SELECT row, source FROM documents WHERE index_id = ? AND id = ?", (index_id, item.id)
    ).fetchone()
    if found is None:
        row = connection.execute(
            "INSERT INTO documents (source, hash, state, terms, codes, generation, index_id, id) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*values, index_id, item.id),
        ).lastrowid
        assert row is not None
        text.insert(row, item.texts)
        return
    row, stored = found
    connection.execute(
        "UPDATE documents SET source = ?, hash = ?, state = ?, terms = ?, codes = ?, generation = ? WHERE row = ?",
        (*values, row),
    )
    before = lexical.texts(read_source(item.id, stored), fields)
    if before != item.texts:
        text.delete(row, before)
        text.insert(row, item.texts)


def index_texts(text: FullText, index_id: int, fields: Sequence[str]) -> None:
    """Fill an empty full-text table with the fields of all documents."""
    for row, _, source in sources(text.connection, index_id):
        text.insert(row, lexical.texts(source, fields))


_COLUMNS = "id, source, hash, state, terms, codes"


def read(connection: sqlite3.Connection, index_id: int, ids: Iterable[str]) -> dict[str, StoredDocument]:
    """Documents by id; missing and impossible ids are absent."""
    valid = [id for id in dict.fromkeys(ids) if _encodable(id)]
    found: dict[str, StoredDocument] = {}
    for start in range(0, len(valid), _BATCH):
        batch = valid[start : start + _BATCH]
        slots = ", ".join("?" * len(batch))
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM documents WHERE index_id = ? AND id IN ({slots})", (index_id, *batch)
        )
        found.update((document.id, document) for document in map(_document, rows))
    return found


def page(connection: sqlite3.Connection, index_id: int, after: str, size: int) -> list[StoredDocument]:
    """The documents after id `after` in ascending order of id; "" for the first page."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM documents WHERE index_id = ? AND id > ? ORDER BY id LIMIT ?",
        (index_id, after, size),
    )
    return [_document(row) for row in rows]


def sample(connection: sqlite3.Connection, index_id: int, size: int) -> list[StoredDocument]:
    """A sample of the documents, the same on every call (by Knuth's multiplicative hash of the row)."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM documents WHERE index_id = ? ORDER BY row * 2654435761 % 4294967296 LIMIT ?",
        (index_id, size),
    )
    return [_document(row) for row in rows]


def sources(connection: sqlite3.Connection, index_id: int) -> Iterator[tuple[int, str, Json]]:
    """Row, id and source of every document, in ascending order of row."""
    for row, id, source in connection.execute(
        "SELECT row, id, source FROM documents WHERE index_id = ? ORDER BY row", (index_id,)
    ):
        yield row, id, read_source(id, source)


class Fetched(NamedTuple):
    """A document as it lies in its row: the source is parsed once the document is wanted."""

    has_part: bool
    columns: _Columns

    @property
    def codes(self) -> bytes | None:
        """Its codes, where they were requested."""
        return self.columns[-1]

    def document(self) -> StoredDocument:
        """The document; `is_complete` tells of its codes only where they were needed."""
        return _document(self.columns, has_part=self.has_part)


def fetch(
    connection: sqlite3.Connection, rows: Sequence[int], *, terms: bool, codes: bool, needs_codes: bool
) -> dict[int, Fetched]:
    """Documents by row, with terms and codes where requested; with `needs_codes` those without are not complete."""
    part = "terms IS NOT NULL AND codes IS NOT NULL" if needs_codes else "terms IS NOT NULL"
    columns = f"id, source, hash, state, {'terms' if terms else 'NULL'}, {'codes' if codes else 'NULL'}"
    found: dict[int, Fetched] = {}
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        slots = ", ".join("?" * len(batch))
        for row, has_part, *rest in connection.execute(
            f"SELECT row, {part}, {columns} FROM documents WHERE row IN ({slots})", batch
        ):
            found[row] = Fetched(bool(has_part), tuple(rest))
    return found


def read_source(id: str, source: str) -> Json:
    """The source of a row.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION if it is no JSON: the file was changed by something else, or is damaged.
    """
    try:
        document: Json = json.loads(source)
    except ValueError:
        raise precondition(
            f"document {quoted(id)}: its source in the index file is damaged",
            "restore the file from a copy, or remove it and feed the documents again",
        ) from None
    return document


def _document(row: _Columns, *, has_part: bool | None = None) -> StoredDocument:
    id, source, hash, state, terms, codes = row
    is_complete = None if has_part is None else state == "ok" and has_part
    return StoredDocument(id, read_source(id, source), hash, state, terms=terms, codes=codes, is_complete=is_complete)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
