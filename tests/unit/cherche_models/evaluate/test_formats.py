"""A file of another format is named with the way out; what is read stays."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from pathlib import Path

import pytest

from cherche_models.evaluate import formats, read_clicks, read_corpus, read_qrels, read_queries, read_run

LINE = b'{"_id": "d1", "title": "Caf\xc3\xa9", "text": "a, b; c\td"}\n'


def _zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("corpus.jsonl", LINE)
    return stream.getvalue()


CSV = b'_id,title,text\nd1,Caf\xc3\xa9,"a, b"\n'
OTHERS = {
    "CSV": (CSV, "is CSV", "read_csv(FILE)"),
    "CSV with a mark": (b"\xef\xbb\xbf" + CSV, "is CSV", "read_csv(FILE)"),
    "CSV with semicolons": (CSV.replace(b",", b";"), "is CSV", "read_csv(FILE, sep=';')"),
    "quoted CSV": (b'"_id","text"\r\n"d1","a"\r\n', "is CSV", "read_csv(FILE)"),
    "TSV": (CSV.replace(b",", b"\t"), r"is columns separated by tabs (TSV)", "read_csv(FILE, sep='\\t')"),
    "UTF-16": (LINE.decode().encode("utf-16"), "is text in UTF-16", "iconv -f UTF-16 -t UTF-8"),
    "UTF-16 without a mark": (LINE.decode().encode("utf-16-le"), "is text in UTF-16 without", "iconv -f UTF-16LE"),
    "UTF-16, high byte first": (LINE.decode().encode("utf-16-be"), "is text in UTF-16 without", "iconv -f UTF-16BE"),
    "UTF-32": (LINE.decode().encode("utf-32"), "is text in UTF-32", "iconv -f UTF-32"),
    "gzip": (gzip.compress(LINE, mtime=0), "is compressed by gzip", "gunzip FILE"),
    "bzip2": (bz2.compress(LINE), "is compressed by bzip2", "bunzip2 FILE"),
    "xz": (lzma.compress(LINE), "is compressed by xz", "unxz FILE"),
    "zip": (_zip(), "is a zip archive or a spreadsheet", "unpack it"),
    "Parquet": (b"PAR1\x15\x04\x15", "is Parquet", "read_parquet(FILE)"),
    "a database": (b"SQLite format 3\0\x10\0", "is an SQLite database", "read_sql"),
    "PDF": (b"%PDF-1.7\n", "is PDF", "extract its text"),
    "XML": (b'<?xml version="1.0"?>\n<docs/>', "is XML or HTML", "extract its texts"),
    "an array": (b'[\n  {"_id": "d1"}\n]', "is one JSON array", "jq -c '.[]'"),
    "an array on a line": (b'[{"_id": "d1"}]', "is one JSON array", "jq -c '.[]'"),
    "an export": (b'{"_index":"i","_id":"d1","_source":{"text":"a"}}\n', "is an export of a cluster", "._source"),
    "a bulk": (b'{"index":{"_id":"d1"}}\n{"text":"a"}\n', "is the body of a _bulk request", "$id | {_id: $id} + input"),
    "an indented object": (b'{\n  "_id": "d1"\n}\n', "is JSON over several lines", "jq -c ."),
    "bytes": (b"\x00\x01\x02\x03abcdefghij", "is no text", "name the right file"),
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("read", [read_corpus, read_queries, read_clicks], ids=lambda read: read.__name__)
def test_what_is_no_json_lines_is_named(kind: str, read: object, tmp_path: Path) -> None:
    data, name, next_step = OTHERS[kind]
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="not JSON Lines") as refused:
        list(read(path))  # type: ignore[operator]
    assert f"{path} {name}" in str(refused.value)
    assert next_step in str(refused.value).partition(" — ")[2]


@pytest.mark.parametrize(
    "start",
    [
        LINE,
        b"\xef\xbb\xbf" + LINE,
        b"\n\n" + LINE,
        b"broken, but one line of many\n" + LINE,
        b'"a, b"\n',
        b'{"_id": "d1", "_source": "the press"}\n',
        b'{"index": "x", "_id": "d1"}\n',
        b"{}\n",
        b'{"_id": "' + b"x" * 5000,
        b"null\n",
        b"[1, 2]\n",
        b'{"_id": "d1", \n',
        b"words\n",
        b"",
    ],
)
def test_lines_of_json_and_single_bad_lines_are_left_to_the_reader(start: bytes) -> None:
    assert formats.of_lines(start) is None


@pytest.mark.parametrize("read", [read_qrels, read_run], ids=lambda read: read.__name__)
@pytest.mark.parametrize(
    ("data", "name", "next_step"),
    [
        (b"query-id,corpus-id,score\nq1,d1,1\n", "is CSV", "to_csv(OUT, sep='\\t', index=False)"),
        (b"query-id;corpus-id;score\nq1;d1;1\n", "is CSV", "read_csv(FILE, sep=';')"),
        (gzip.compress(b"query-id,corpus-id,score\nq1,d1,1\n", mtime=0), "is CSV", "to_csv"),
        ("query-id,corpus-id,score\nq1,d1,1\n".encode("utf-16-le"), "is text in UTF-16 without", "iconv -f UTF-16LE"),
        (b'{"q1": {"d1": 1}}', "is JSON", "separated by tabs"),
        (_zip(), "is a zip archive or a spreadsheet", "unpack it"),
        (b"PAR1\x15", "is Parquet", "pandas"),
    ],
)
def test_what_has_no_columns_is_named(data: bytes, name: str, next_step: str, read: object, tmp_path: Path) -> None:
    path = tmp_path / "qrels.tsv"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="qrels") as refused:
        read(path)  # type: ignore[operator]
    assert f"{path} {name}" in str(refused.value)
    assert next_step in str(refused.value)


@pytest.mark.parametrize("start", [b"q1 0 d1,x 1\n", b"q1\td1;x\t1\n", b"a,b\tc\t1\n"])
def test_ids_hold_commas(start: bytes) -> None:
    assert formats.of_columns(start) is None


def test_a_key_that_is_there_twice_is_no_object() -> None:
    assert formats.once([("a", 1)]) == {"a": 1}
    with pytest.raises(ValueError, match="the key 'text' is there twice"):
        formats.once([("_id", "x"), ("text", "a"), ("text", "b")])
