"""Files that are of another format than they are read in, found by their first bytes and named with the way out."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

_SHOWN = 60
"""Characters of a key that an error repeats."""
START = 4096
"""Bytes by which a format is known."""

_JSON_LINES = "write it as JSON Lines, one object per line"
_FRAME = "for example with pandas: {read}(FILE).to_json(OUT, orient='records', lines=True)"


class Other(NamedTuple):
    """What a file is, and what makes of it one that is read."""

    name: str
    next_step: str


_GZIP = Other("compressed by gzip", "unpack it: gunzip FILE")
_UTF_16 = Other("text in UTF-16", "convert it: iconv -f UTF-16 -t UTF-8 FILE > OUT")
_UTF_32 = Other("text in UTF-32", "convert it: iconv -f UTF-32 -t UTF-8 FILE > OUT")
_MARKS = (  # that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF32_LE, _UTF_32),
    (codecs.BOM_UTF32_BE, _UTF_32),
    (codecs.BOM_UTF16_LE, _UTF_16),
    (codecs.BOM_UTF16_BE, _UTF_16),
)
_BINARY = (
    (b"\x1f\x8b", _GZIP),
    (b"BZh", Other("compressed by bzip2", "unpack it: bunzip2 FILE")),
    (b"\xfd7zXZ", Other("compressed by xz", "unpack it: unxz FILE")),
    (b"\x28\xb5\x2f\xfd", Other("compressed by zstd", "unpack it: unzstd FILE")),
    (b"PK\x03\x04", Other("a zip archive or a spreadsheet (.xlsx)", f"unpack it; of a spreadsheet: {_JSON_LINES}")),
    (b"PAR1", Other("Parquet", f"{_JSON_LINES}, {_FRAME.format(read='read_parquet')}")),
    (b"ARROW1", Other("Arrow", f"{_JSON_LINES}, {_FRAME.format(read='read_feather')}")),
    (b"%PDF", Other("PDF", f"extract its text, and {_JSON_LINES}")),
    (b"SQLite format 3", Other("an SQLite database", f"{_JSON_LINES}, {_FRAME.format(read='read_sql')}")),
)
_ARRAY = Other("one JSON array", "write an object per line: jq -c '.[]' FILE > OUT")
_SPREAD = Other("JSON over several lines", "write an object per line: jq -c . FILE > OUT")
_EXPORT = Other(
    "an export of a cluster, whose documents lie in _source", "take them out: jq -c '{_id} + ._source' FILE > OUT"
)
_BULK = Other(
    "the body of a _bulk request",
    "write a document per line with its _id: jq -cn 'inputs | .index._id as $id | {_id: $id} + input' FILE > OUT",
)
_MARKUP = Other("XML or HTML", f"extract its texts, and {_JSON_LINES}")
_SEPARATORS = ((b"\t", "columns separated by tabs (TSV)", ", sep='\\t'"), (b",", "CSV", ""), (b";", "CSV", ", sep=';'"))
_ARRAY_BEGINS = re.compile(rb"\[\s*(\{|$)")


def of_lines(start: bytes) -> Other | None:
    """What a file is that should be JSON Lines; None where its first line may be one.

    Parameters
    ----------
    start : bytes
        The file's first bytes, `START` of them if there are as many.

    >>> of_lines(b"id,title,text").name, of_lines(b'{"_id": "a"}')
    ('CSV', None)
    """
    if binary := _bytes(start):
        return binary
    lines = [line.strip() for line in start.removeprefix(codecs.BOM_UTF8).splitlines() if line.strip()]
    if not lines:
        return None
    first = lines[0]
    if first == b"{" and len(lines) > 1:
        return _SPREAD
    if _ARRAY_BEGINS.match(first):
        return _ARRAY
    if first.startswith(b"<"):
        return _MARKUP
    if first.startswith(b"{"):
        return _of_a_cluster(first)
    if any(line.startswith(b"{") for line in lines) or _is_json(first):
        return None
    return _columns(first)


def of_columns(start: bytes) -> Other | None:
    """What a file is that should have columns separated by tabs or spaces, as judgements and runs have.

    UTF-16 with a byte order mark and gzip are read there, and named by none.

    >>> of_columns(b"query-id,corpus-id,score").name, of_columns(b"q1 0 d1 1")
    ('CSV', None)
    """
    binary = _bytes(start)
    if binary is not None:
        return None if binary is _GZIP or start.startswith(tuple(mark for mark, _ in _MARKS)) else binary
    first = next((line.strip() for line in start.removeprefix(codecs.BOM_UTF8).splitlines() if line.strip()), b"")
    if first.startswith((b"{", b"[")):
        return Other("JSON", "write a line per judgement or hit, its columns separated by tabs")
    if b"\t" in first or b" " in first or not (b"," in first or b";" in first):
        return None
    separator = "" if b"," in first else ", sep=';'"
    how = f"pandas.read_csv(FILE{separator}).to_csv(OUT, sep='\\t', index=False)"
    return Other("CSV", f"separate its columns with tabs, for example with pandas: {how}")


def of_text(start: bytes) -> Other | None:
    """What a file is that should be text in UTF-8, as far as its first bytes say.

    >>> of_text("ab".encode("utf-16-le")).name, of_text(b"ab")
    ('text in UTF-16 without a byte order mark', None)
    """
    return _bytes(start)


def once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these keys, for ``json.loads(…, object_pairs_hook=once)``.

    Raises
    ------
    ValueError
        For a key that is there twice: Python would keep the second value, and the first, a text perhaps, would be lost.

    >>> once([("a", 1), ("b", 2)])
    {'a': 1, 'b': 2}
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise ValueError(f"the key {twice[:_SHOWN]!r} is there twice")
    return found


def check_lines(path: Path) -> None:
    """Refuse a file that is no JSON Lines.

    Raises
    ------
    ValueError
        Naming file, format and the way out.
    OSError
        If the file cannot be read.
    """
    with path.open("rb") as file:
        other = of_lines(file.read(START))
    if other:
        raise ValueError(f"{path} is {other.name}, not JSON Lines — {other.next_step}")


def _bytes(start: bytes) -> Other | None:
    for mark, other in (*_MARKS, *_BINARY):
        if start.startswith(mark):
            return other
    if b"\0" not in start:
        return None
    # Every second byte of a Latin text in UTF-16.
    halves = start[0::2].count(0), start[1::2].count(0)
    if max(halves) > 0.4 * len(start) / 2:
        return Other(
            "text in UTF-16 without a byte order mark",
            f"convert it: iconv -f UTF-16{'BE' if halves[0] > halves[1] else 'LE'} -t UTF-8 FILE > OUT",
        )
    return Other("no text: it holds null bytes", f"name the right file, or {_JSON_LINES}")


def _columns(line: bytes) -> Other | None:
    for separator, name, option in _SEPARATORS:
        if separator in line:
            how = _FRAME.format(read="read_csv").replace("FILE", f"FILE{option}")
            return Other(name, f"{_JSON_LINES}, {how}")
    return None


def _of_a_cluster(line: bytes) -> Other | None:
    """An export or a bulk, by its first line; one that is longer than what was read is a document."""
    try:
        value = json.loads(line)
    except ValueError:
        return None
    if isinstance(value.get("_source"), dict) and "_id" in value:
        return _EXPORT
    [(name, action), *rest] = value.items() if value else [("", None)]
    return _BULK if name in ("index", "create") and isinstance(action, dict) and not rest else None


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
