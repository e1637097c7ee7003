"""Documents of a JSONL file: each line a document, or its own error."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any, NoReturn

from cherche_models.evaluate import formats
from sidecar.errors import ChercheError, invalid
from sidecar.values.sources import read_document, read_id

# A line beyond this is skipped without being held in memory.
MAX_LINE = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    """A document as one line had it: `raw` is a JSON object in UTF-8, without ``_id`` and ``_routing``."""

    number: int
    id: str
    raw: bytes
    routing: str = ""


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no document, and why; `id` is "" where none could be read."""

    number: int
    id: str
    error: ChercheError


def check_format(stream: IO[bytes], name: str) -> None:
    """Refuse a file of another format before any of it is sent; nothing of the stream is consumed.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT naming the format and the way out.
    """
    if isinstance(stream, io.BufferedReader):
        start = stream.peek(formats.START)[: formats.START]
    else:
        start = stream.read(formats.START)
        stream.seek(-len(start), io.SEEK_CUR)
    if other := formats.of_lines(start):
        raise invalid(f"{name} is {other.name}, not JSON Lines", other.next_step)


@dataclass(slots=True)
class Reader:
    """Reads lines; remembers ids, so that one feed writes each document once.

    Attributes
    ----------
    name : str
        What errors call the file.
    max_line : int
        Longest line, in bytes.
    """

    name: str
    max_line: int = MAX_LINE
    _seen: dict[str, int] = field(default_factory=dict)

    def read(self, stream: IO[bytes]) -> Iterator[Line | BadLine]:
        """One result per line that is not blank, in order."""
        number = 0
        while raw := stream.readline(self.max_line + 1):
            number += 1
            if len(raw) > self.max_line:
                _skip_rest(stream, raw)
                yield BadLine(number, "", self._error(number, f"is longer than {self.max_line} bytes"))
            elif raw.strip():
                yield self._line(number, raw)

    def _line(self, number: int, raw: bytes) -> Line | BadLine:
        identifier, name = "", f"{self.name} line {number}"
        try:
            source = self._parse(number, raw)
            identifier = read_id(source, name)
            document = read_document(source, name)
            line = Line(number, identifier, document.raw, document.routing)
            self._once(line)
            return line
        except ChercheError as error:
            return BadLine(number, identifier, error)

    def _parse(self, number: int, raw: bytes) -> dict[str, Any]:
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise self._error(number, f"is not UTF-8 at byte {error.start}", "convert the file with iconv") from error
        try:
            value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=formats.once)
        except (ValueError, RecursionError) as error:
            raise self._error(number, f"is not JSON: {error}", "write one JSON object per line") from error
        if not isinstance(value, dict):
            kind = {list: "an array", str: "a string", type(None): "null"}.get(type(value), "a scalar")
            raise self._error(number, f"holds {kind}, not an object", "write one JSON object per line")
        return value

    def _once(self, line: Line) -> None:
        first = self._seen.setdefault(line.id, line.number)
        if first != line.number:
            raise self._error(line.number, f"repeats the id {line.id!r} of line {first}", "keep one document per id")

    def _error(self, number: int, reason: str, next_step: str = "cut or remove it") -> ChercheError:
        return invalid(f"{self.name} line {number} {reason}", next_step)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _skip_rest(stream: IO[bytes], part: bytes) -> None:
    while part and not part.endswith(b"\n"):
        part = stream.readline(1024 * 1024)
