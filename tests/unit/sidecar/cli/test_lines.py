from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.cli.lines import BadLine, Line, Reader, check_format
from sidecar.errors import ChercheError, Code


def read(data: bytes, max_line: int = 1 << 20) -> list[Line | BadLine]:
    return list(Reader("docs.jsonl", max_line).read(io.BytesIO(data)))


BAD = {
    "invalid UTF-8": (b'{"id": "x", "text": "caf\xe9"}', "is not UTF-8 at byte 24"),
    "not JSON": (b'{"id": "x",', "is not JSON"),
    "NaN": (b'{"id": "x", "n": NaN}', "is not JSON: NaN is no JSON number"),
    "a key twice": (b'{"id": "x", "text": "a", "text": "b"}', "is not JSON: the key 'text' is there twice"),
    "an array": (b'["x"]', "holds an array, not an object"),
    "null": (b"null", "holds null, not an object"),
    "a number": (b"7", "holds a scalar, not an object"),
    "no id": (b'{"text": "t"}', "has no _id and no id"),
    "an empty id": (b'{"_id": "", "text": "t"}', "has no _id and no id"),
    "an id that is a list": (b'{"id": [1]}', "has the id [1]"),
    "an id that is a truth value": (b'{"id": true}', "has the id True"),
    "a lone surrogate": (b'{"id": "x", "text": "a\\ud83dz"}', "holds the lone surrogate '\\ud83d'"),
    "a lone surrogate in the id": (b'{"id": "\\udc00"}', "holds the lone surrogate '\\udc00'"),
    "a repeated id": (b'{"id": "before", "text": "again"}', "repeats the id 'before' of line 1"),
    "too deep": (b'{"id": "x", "a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "is not JSON"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_line_is_its_own_error_and_its_neighbours_stay(kind: str) -> None:
    line, reason = BAD[kind]
    before, bad, after = read(b'{"id": "before"}\n' + line + b'\n{"id": "after"}\n')
    assert isinstance(before, Line)
    assert isinstance(after, Line)
    assert after.number == 3
    assert isinstance(bad, BadLine)
    assert bad.number == 2
    assert bad.error.code is Code.INVALID_ARGUMENT
    assert f"docs.jsonl line 2 {reason}" in bad.error.reason
    assert bad.error.next_step


@pytest.mark.parametrize("wrapped", [io.BytesIO, lambda data: io.BufferedReader(io.BytesIO(data))])
def test_a_file_of_another_format_is_refused_and_nothing_is_consumed(wrapped: Callable[[bytes], IO[bytes]]) -> None:
    stream = wrapped(b"id,text\nx,a\n")
    with pytest.raises(ChercheError, match=r"docs\.csv is CSV, not JSON Lines — .*read_csv") as refused:
        check_format(stream, "docs.csv")
    assert refused.value.code is Code.INVALID_ARGUMENT
    stream = wrapped(b'{"id": "x"}\n' * 1000)
    check_format(stream, "docs.jsonl")
    assert stream.readline() == b'{"id": "x"}\n'


def test_underscore_id_wins_and_leaves_the_source() -> None:
    (line,) = read(b'{"_id": 7, "id": "own", "text": "caf\xc3\xa9"}')
    assert isinstance(line, Line)
    assert line.id == "7"
    assert json.loads(line.raw) == {"id": "own", "text": "café"}


def test_a_line_without_end_is_skipped_in_pieces() -> None:
    endless = b'{"id": "x", "text": "' + b"a" * 5_000_000 + b'"}\n'
    bad, good = read(endless + b'{"id": "y"}\n', max_line=1000)
    assert isinstance(bad, BadLine)
    assert "is longer than 1000 bytes" in bad.error.reason
    assert good == Line(2, "y", b'{"id":"y"}')


def test_a_refused_line_does_not_take_the_id() -> None:
    bad, good = read(b'{"id": "x", "text": "\\ud800"}\n{"id": "x", "text": "mended"}\n')
    assert isinstance(bad, BadLine)
    assert isinstance(good, Line)


def test_a_byte_order_mark_and_blank_lines_are_no_documents() -> None:
    (line,) = read(b'\xef\xbb\xbf{"id": "x"}\n\n   \n')
    assert isinstance(line, Line)


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_any_bytes_give_one_result_per_line(lines: list[bytes]) -> None:
    lines = [line.replace(b"\n", b"") for line in lines]
    results = read(b"\n".join(lines))
    assert len(results) == sum(bool(line.strip()) for line in lines)
