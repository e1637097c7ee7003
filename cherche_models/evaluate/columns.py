"""Lines of a file in columns, such as judgements and runs: which encoding, and what separates the columns."""

from __future__ import annotations

import codecs
import gzip
import re
from collections.abc import Iterator
from pathlib import Path

from cherche_models.evaluate import formats

_MARKS = (  # that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_GZIP = b"\x1f\x8b"
_SPACES = re.compile(" +")


def rows(path: Path) -> Iterator[tuple[str, list[str]]]:
    """The cells of each line that is not blank, and its name for errors, as in ``qrels.tsv:3``.

    The first line decides for all: where it has a tab, tabs separate the columns and cells may hold spaces; elsewhere
    spaces do, and only U+0020: other white space, such as U+00A0, is part of a cell. The file is UTF-8, or whatever
    its byte order mark says, and may be compressed by gzip.

    Raises
    ------
    ValueError
        Naming the file, or the line, that cannot be read or is separated otherwise than the first; and a file of
        another format, such as CSV.
    OSError
        If the file cannot be read.
    """
    tabs: bool | None = None
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        has_tab = "\t" in line
        tabs = has_tab if tabs is None else tabs
        if has_tab is not tabs:
            here, first = ("a tab", "none") if has_tab else ("no tab", "tabs")
            raise ValueError(f"{path}:{number}: the line has {here}, the first line has {first}: use one separator")
        yield f"{path}:{number}", line.split("\t") if tabs else _SPACES.split(line.strip(" "))


def _lines(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        start = file.read(formats.START)
    packed = start.startswith(_GZIP)
    try:
        if packed:
            with gzip.open(path) as file:
                start = file.read(formats.START)
        if other := formats.of_columns(start):
            raise ValueError(f"{path} is {other.name} — {other.next_step}")
        encoding = next((name for mark, name in _MARKS if start.startswith(mark)), "utf-8")
        # Text mode ends a line at \n, \r and \r\n alone, unlike str.splitlines.
        with gzip.open(path, "rt", encoding=encoding) if packed else path.open(encoding=encoding) as lines:
            for line in lines:
                yield line.rstrip("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8 ({error}): save it as UTF-8") from error
    except (gzip.BadGzipFile, EOFError) as error:
        raise ValueError(f"{path} is no complete gzip file ({error}): restore it") from error
