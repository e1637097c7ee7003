"""Training data of any size: read where it lies, shuffled as a whole, resumed at any step.

What is kept in memory does not grow with the data: positions of good rows lie in a
temporary file, and the order of a pass is computed, not stored.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
import tempfile
import weakref
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, overload

from cherche_models.errors import DataError
from cherche_models.train import rows
from cherche_models.train.data import apportion
from cherche_models.train.rows import Example

Batches = Callable[[int], list[Example]]
Row = tuple[int, str, object | DataError]
"""Position, what an error calls it, and what lies there or what is wrong with it."""

_SHOWN = 20
_CHUNK = 1 << 16
_ROUNDS = 4


@dataclass(slots=True)
class Refused:
    """Rows that are no example, counted; the first of them in words.

    Attributes
    ----------
    count : int
    first : list of DataError
        At most 20.
    ignored : set of str
        Keys of the good rows that no example has.
    """

    count: int = 0
    first: list[DataError] = field(default_factory=list)
    ignored: set[str] = field(default_factory=set)

    def add(self, error: DataError) -> None:
        """Count one more."""
        self.count += 1
        if len(self.first) < _SHOWN:
            self.first.append(error)

    def ignore(self, names: set[str]) -> None:
        """Note keys that go unused, as far as there are few."""
        if len(self.ignored) < _SHOWN:
            self.ignored |= names


class Indexed(Sequence[Example]):
    """Examples by number, each read when it is asked for; rows that are no example have no number.

    Parameters
    ----------
    name : str
        What errors call the data.
    positions : iterable of Row
        All rows, once; a position fits into 64 bits.
    at : callable
        The row at a position.

    Raises
    ------
    DataError
        If no row is an example.

    Attributes
    ----------
    refused : Refused
    """

    def __init__(self, name: str, positions: Iterable[Row], at: Callable[[int], object]) -> None:
        self.name = name
        self.refused = Refused()
        self._at = at
        self._file, path = tempfile.mkstemp()
        os.unlink(path)
        weakref.finalize(self, os.close, self._file)
        self._size = 0
        self._index(positions)
        if not self._size:
            reason = f"none of its {self.refused.count} rows is an example" if self.refused.count else "it is empty"
            first = f"; the first: {self.refused.first[0]}" if self.refused.count else ""
            raise DataError(name, reason + first, "give rows with a query and a positive")

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, number: int) -> Example: ...
    @overload
    def __getitem__(self, number: slice) -> list[Example]: ...
    def __getitem__(self, number: int | slice) -> Example | list[Example]:
        """The example of a number, or those of a slice.

        Raises
        ------
        DataError
            If the data was changed since it was first read.
        """
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(self._size))]
        if not -self._size <= number < self._size:
            raise IndexError(number)
        position = self._position(number % self._size)
        try:
            return rows.example(self._at(position), f"{self.name}, example {number}")
        except DataError as error:
            raise DataError(
                error.where, f"was changed while it was read: {error.reason}", "start again with data that holds still"
            ) from error

    def _index(self, positions: Iterable[Row]) -> None:
        good = array("Q")
        for position, where, row in positions:
            try:
                if isinstance(row, DataError):
                    raise row
                rows.example(row, where)
            except DataError as error:
                self.refused.add(error)
                continue
            self.refused.ignore(rows.ignored(row))
            good.append(position)
            if len(good) >= _CHUNK:
                self._flush(good)
        self._flush(good)

    def _flush(self, good: array[int]) -> None:
        os.pwrite(self._file, good.tobytes(), 8 * self._size)
        self._size += len(good)
        del good[:]

    def _position(self, number: int) -> int:
        return int.from_bytes(os.pread(self._file, 8, 8 * number), sys.byteorder)


def lines(path: Path) -> Indexed:
    """Examples of a JSONL file of any size; a bad line is counted and passed over.

    Raises
    ------
    DataError
        If no line is an example.
    OSError
        If the file cannot be read.
    """

    def positions() -> Iterator[Row]:
        offset = 0
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield offset, f"{path}:{number}", _row(line, f"{path}:{number}")
                offset += len(line)

    def at(offset: int) -> object:
        with path.open("rb") as file:
            file.seek(offset)
            return _row(file.readline(), f"{path}, byte {offset}")

    return Indexed(str(path), positions(), at)


class Table(Protocol):
    """What has rows by number: a `datasets.Dataset`, a list of dicts."""

    def __len__(self) -> int: ...
    def __getitem__(self, number: int, /) -> Mapping[str, object]: ...


def table(found: Table, name: str) -> Indexed:
    """Examples of a `datasets.Dataset`, read from where it lies; a bad row is counted and passed over."""
    positions = ((number, f"{name}, row {number}", found[number]) for number in range(len(found)))
    return Indexed(name, positions, found.__getitem__)


def shuffled(examples: Sequence[Example], batch: int, seed: int) -> Batches:
    """Batches by number, each pass in an order of its own over the whole of the data.

    Parameters
    ----------
    examples : sequence of Example
        `Indexed`, or a list.
    batch, seed : int

    >>> at = shuffled([Example(q, "p") for q in "abc"], batch=3, seed=0)
    >>> sorted(e.query for e in at(7))
    ['a', 'b', 'c']
    """
    return mixture({"": examples}, {"": 1.0}, batch, seed)


def mixture(sources: Mapping[str, Sequence[Example]], shares: Mapping[str, float], batch: int, seed: int) -> Batches:
    """Batches of several sources, each walked in its own order.

    Parameters
    ----------
    sources : mapping of name → sequence of Example
    shares : mapping of name → share
        Rows of a batch are divided by these; they need not sum to 1.
    batch, seed : int

    Raises
    ------
    DataError
        If a source is empty.
    """
    for name in shares:
        if not sources[name]:
            raise DataError(name, "it is empty", "give examples, or leave it out")
    counts = apportion(shares, batch)

    def at(step: int) -> list[Example]:
        return [
            _walk(sources[name], step * count + i, f"{seed}/{name}")
            for name, count in counts.items()
            for i in range(count)
        ]

    return at


def _walk(examples: Sequence[Example], position: int, seed: str) -> Example:
    turn, place = divmod(position, len(examples))
    return examples[permuted(place, len(examples), f"{seed}/{turn}")]


def permuted(place: int, size: int, seed: str) -> int:
    """Where a place goes in a pseudo-random order of `size` places, without making the order.

    A Feistel network over the next even number of bits, walked until it is back in
    range (Black & Rogaway 2002, "Ciphers with Arbitrary Finite Domains", section 4).

    >>> sorted(permuted(place, 10, "seed") for place in range(10))
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    while True:
        left, right = place >> half, place & mask
        for turn in range(_ROUNDS):
            left, right = right, left ^ (_mixed(right, turn, seed) & mask)
        place = left << half | right
        if place < size:
            return place


def _mixed(value: int, turn: int, seed: str) -> int:
    digest = hashlib.blake2b(f"{seed}/{turn}/{value}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


class Streamed:
    """Batches of rows that can only be read in order, as a `datasets.IterableDataset`.

    Shuffled within a buffer. A resumed run reads again what was seen, without
    training on it. A bad row is counted and passed over.

    Parameters
    ----------
    name : str
        What errors call the data.
    start : callable
        Begins a pass over the rows; called anew when one ends.
    batch, seed : int
    buffer : int
        Rows that are shuffled among each other, and all that are in memory.

    Attributes
    ----------
    refused : Refused
        Of the rows read so far; a row is counted in each pass.
    """

    def __init__(
        self, name: str, start: Callable[[], Iterable[object]], batch: int, seed: int, buffer: int = 10_000
    ) -> None:
        self.name = name
        self.refused = Refused()
        self._start, self._batch, self._seed, self._buffer = start, batch, seed, buffer
        self._next = 0
        self._rows = self._endless()

    def __call__(self, step: int) -> list[Example]:
        """The batch of a step; steps rise, or reading begins again.

        Raises
        ------
        DataError
            If a whole pass holds no example.
        """
        if step < self._next:
            self._rows, self._next = self._endless(), 0
        for _ in range((step - self._next) * self._batch):
            next(self._rows)
        self._next = step + 1
        return [next(self._rows) for _ in range(self._batch)]

    def _endless(self) -> Iterator[Example]:
        turn = 0
        while True:
            empty = True
            for found in self._pass(turn):
                empty = False
                yield found
            if empty:
                raise DataError(self.name, "no row of it is an example", "give rows with a query and a positive")
            turn += 1

    def _pass(self, turn: int) -> Iterator[Example]:
        draw = random.Random(f"{self._seed}/{turn}")
        held: list[Example] = []
        for found in self._examples():
            if len(held) < self._buffer:
                held.append(found)
                continue
            chosen = draw.randrange(len(held))
            yield held[chosen]
            held[chosen] = found
        draw.shuffle(held)
        yield from held

    def _examples(self) -> Iterator[Example]:
        for number, row in enumerate(self._start(), 1):
            try:
                yield rows.example(row, f"{self.name}, row {number}")
            except DataError as error:
                self.refused.add(error)


def _row(line: bytes, where: str) -> object | DataError:
    try:
        return rows.loaded(line, where)
    except DataError as error:
        return error
