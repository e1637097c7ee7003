"""What a verb prints: data to stdout, messages and progress to stderr."""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

Row = Sequence[object]

_WIDE = 80
"""Characters of a cell of a table, beyond which it is long."""

_LEAST_ID = 12
_INDENT = "      "


@dataclass(frozen=True, slots=True)
class Output:
    """Where a verb's words go.

    Attributes
    ----------
    as_json : bool
        One JSON value on stdout instead of text.
    quiet : bool
        No messages; errors still show.
    """

    as_json: bool = False
    quiet: bool = False

    def data(self, value: object, text: Callable[[], None]) -> None:
        """Print the verb's result: `value` as JSON, or whatever `text` prints."""
        if self.as_json:
            click.echo(json.dumps(value, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))
        else:
            text()

    def note(self, message: str) -> None:
        """Print a message that is not the result."""
        if not self.quiet:
            click.echo(runnable(message), err=True)

    def progress(self) -> Progress:
        """A line that is rewritten; only on a terminal."""
        return Progress(shown=not self.quiet and sys.stderr.isatty())


@dataclass(slots=True)
class Progress:
    """One line on stderr, rewritten at most ten times a second."""

    shown: bool
    _last: float = field(default=0.0)
    _width: int = field(default=0)

    def __call__(self, line: str) -> None:
        """Show `line` in place of the one before."""
        now = time.monotonic()
        if self.shown and now - self._last >= 0.1:
            self._last = now
            self._write(line)

    def close(self) -> None:
        """Wipe the line."""
        if self._width:
            self._write("")
            click.echo("\r", nl=False, err=True)
            self._width = 0

    def _write(self, line: str) -> None:
        line = line[: shutil.get_terminal_size().columns - 1]  # what is longer would scroll
        click.echo(f"\r{line:<{self._width}}", nl=False, err=True)
        self._width = len(line)


def table(columns: Sequence[str], rows: Iterable[Row], title: str = "") -> None:
    """Print rows: drawn by rich on a terminal, aligned columns elsewhere. NO_COLOR is obeyed."""
    cells = [["" if value is None else str(value) for value in row] for row in rows]
    if sys.stdout.isatty():
        _draw(columns, cells, title)
    else:
        _align(columns, cells, title)


def hits_table(columns: Sequence[str], rows: Iterable[Row], texts: Sequence[str]) -> None:
    """Rows that end with an id, each with a text: under it on a terminal, which is narrow, else as the last column."""
    if not sys.stdout.isatty():
        table((*columns, "text"), [(*row, text) for row, text in zip(rows, texts, strict=True)])
        return
    from rich.console import Console
    from rich.text import Text

    console, cells = Console(), [["" if value is None else str(value) for value in row] for row in rows]
    widths = [max(len(line[at]) for line in [list(columns), *cells]) for at in range(len(columns) - 1)]
    room = max(_LEAST_ID, console.width - sum(widths) - 2 * len(widths))

    def line(words: Sequence[str]) -> str:
        numbers = (cell.rjust(width) for cell, width in zip(words, widths, strict=False))
        return "  ".join([*numbers, elided(words[-1], room)])

    console.print(Text(line(columns), style="bold cyan"))
    for row, text in zip(cells, texts, strict=True):
        console.print(Text(line(row)))
        if text:
            console.print(Text(f"{_INDENT}{excerpt(text, console.width - len(_INDENT) - 1)}"))


def _draw(columns: Sequence[str], rows: list[list[str]], title: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(
        title=title or None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        header_style="bold cyan",
        show_header=any(columns),
    )
    for position, column in enumerate(columns):
        right = bool(rows) and all(_is_number(row[position]) for row in rows)
        drawn.add_column(column, justify="right" if right else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(elided(cell)) for cell in row))
    Console().print(drawn)


def _align(columns: Sequence[str], rows: list[list[str]], title: str) -> None:
    if title:
        click.echo(title)
    lines = [*([list(columns)] if any(columns) else []), *([cell.replace("\n", " ") for cell in row] for row in rows)]
    # A long cell stays whole, and moves its own row alone.
    widths = [max((len(line[i]) for line in lines if len(line[i]) <= _WIDE), default=0) for i in range(len(columns))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def _is_number(cell: str) -> bool:
    try:
        float(cell.rstrip("%") or "0")
    except ValueError:
        return cell in ("–", "-")
    return True


def program() -> str:
    """How this program is called in this folder: by its name where the shell finds it, else by its path.

    An environment that was not activated, such as the ``.venv`` of ``make demo``, needs the path.
    """
    own = Path(sys.argv[0])
    found = shutil.which("cherche")
    if own.name != "cherche" or (found and Path(found).resolve() == own.resolve()):
        return "cherche"
    here = Path.cwd()
    return str(own.relative_to(here)) if own.is_relative_to(here) else str(own)


# Of `sidecar.cli`, which imports the verbs, and they this module; a test holds both equal.
_VERBS = [
    "adapt",
    "backfill",
    "bakeoff",
    "cluster",
    "codebook",
    "compare",
    "config",
    "demo",
    "doctor",
    "dump",
    "encode",
    "eval",
    "feed",
    "list",
    "models",
    "print-connector",
    "remove",
    "rerank",
    "search",
    "serve",
    "setup",
    "train",
    "try",
    "tune",
    "ui",
    "upgrade",
]


def runnable(text: str) -> str:
    """A message whose commands can be pasted in this folder: see `program`."""
    run = program()
    return text if run == "cherche" else re.sub(rf"(?<![\w/])cherche (?=(?:{'|'.join(_VERBS)})\b)", f"{run} ", text)


def pretty(value: object) -> str:
    """JSON for reading."""
    return json.dumps(value, ensure_ascii=False, indent=2)


def excerpt(text: str, width: int = 72) -> str:
    """The first words of a text, on one line.

    >>> excerpt("one  two three", 9)
    'one two…'
    """
    line = " ".join(text.split())
    if len(line) <= width:
        return line
    return line[:width].rsplit(" ", 1)[0].rstrip(" ,;:.") + "…"


def elided(cell: str, width: int = _WIDE) -> str:
    """A long id without its middle, so that a table on a terminal keeps its shape; pipes and JSON have it whole.

    >>> elided("abcdefghij", 5)
    'ab…ij'
    """
    if len(cell) <= width:
        return cell
    kept = (width - 1) // 2
    return f"{cell[:kept]}…{cell[-kept:]}"


def size(count: float) -> str:
    """Bytes for reading.

    >>> size(1536)
    '1.5 KiB'
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def duration(seconds: float) -> str:
    """Seconds for reading.

    >>> duration(42), duration(90), duration(7300)
    ('42 s', '1 min 30 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
