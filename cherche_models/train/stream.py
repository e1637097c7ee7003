"""Training data of any size: read in place, shuffled as a whole, resumable at any step.

Memory does not grow with the data: the positions of valid rows are kept in a
temporary file, and the order of an epoch is computed, not stored.
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
from itertools import count
from pathlib import Path
from typing import Protocol, overload

from cherche_models.errors import DataError
from cherche_models.train import rows
from cherche_models.train.data import apportion
from cherche_models.train.rows import Example

Batches = Callable[[int], list[Example]]
Row = tuple[int, str, object | DataError]
"""Position, name for errors, and the row or the reason why it cannot be read."""

_SHOWN = 20
_CHUNK = 1 << 16
_ROUNDS = 4


@dataclass(slots=True)
class Refused:
    """Rows that are not valid examples.

    Attributes
    ----------
    count : int
    first : list of DataError
        At most 20.
    ignored : set of str
        Keys of valid rows that are not part of the format; about 20 at most.
    """

    count: int = 0
    first: list[DataError] = field(default_factory=list)
    ignored: set[str] = field(default_factory=set)

    def add(self, error: DataError) -> None:
        """Count a row."""
        self.count += 1
        if len(self.first) < _SHOWN:
            self.first.append(error)

    def ignore(self, names: set[str]) -> None:
        """Record unused keys, until there are 20."""
        if len(self.ignored) < _SHOWN:
            self.ignored |= names


class Indexed(Sequence[Example]):
    """Examples by number, read on access; invalid rows are left out.

    Parameters
    ----------
    name : str
        Of the data, for errors.
    positions : iterable of Row
        All rows, once; positions are unsigned 64-bit integers.
    at : callable
        Returns the row at a position.

    Raises
    ------
    DataError
        If no row is a valid example.

    Attributes
    ----------
    refused : Refused
    """

    def __init__(self, name: str, positions: Iterable[Row], at: Callable[[int], object]) -> None:
        self.name = name
        self.refused = Refused()
        self._at = at
        self._file, path = tempfile.mkstemp()
        os.unlink(path)  # the open descriptor keeps the file until it is closed, even after a crash
        weakref.finalize(self, os.close, self._file)
        self._size = 0
        self._index(positions)
        if not self._size:
            reason = f"none of its {self.refused.count} rows is valid" if self.refused.count else "it is empty"
            first = f"; first error: {self.refused.first[0]}" if self.refused.count else ""
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
            If the data has changed since it was indexed.
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
                error.where,
                f"changed since it was indexed: {error.reason}",
                "start again, and leave the data unchanged during the run",
            ) from error

    def _index(self, positions: Iterable[Row]) -> None:
        valid = array("Q")
        for position, where, row in positions:
            try:
                if isinstance(row, DataError):
                    raise row
                rows.example(row, where)
            except DataError as error:
                self.refused.add(error)
                continue
            self.refused.ignore(rows.ignored(row))
            valid.append(position)
            if len(valid) >= _CHUNK:
                self._flush(valid)
        self._flush(valid)

    def _flush(self, valid: array[int]) -> None:
        os.pwrite(self._file, valid.tobytes(), 8 * self._size)
        self._size += len(valid)
        del valid[:]

    def _position(self, number: int) -> int:
        return int.from_bytes(os.pread(self._file, 8, 8 * number), sys.byteorder)


def lines(path: Path) -> Indexed:
    """Examples of a JSONL file of any size; invalid lines are counted and skipped.

    Raises
    ------
    DataError
        If no line is a valid example, or the file is of another format, such as CSV.
    OSError
        If the file cannot be read.
    """
    rows.check_format(path)

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
    """Rows by number, such as a `datasets.Dataset` or a list of dicts."""

    def __len__(self) -> int: ...
    def __getitem__(self, number: int, /) -> Mapping[str, object]: ...


def table(found: Table, name: str) -> Indexed:
    """Examples of a `datasets.Dataset`, read in place; invalid rows are counted and skipped."""
    positions = ((number, f"{name}, row {number}", found[number]) for number in range(len(found)))
    return Indexed(name, positions, found.__getitem__)


def shuffled(examples: Sequence[Example], batch: int, seed: int) -> Batches:
    """Batches by step number; each epoch visits all examples in a new order.

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
    """Batches of several sources, each shuffled by itself.

    Parameters
    ----------
    sources : mapping of name → sequence of Example
    shares : mapping of name → share
        Rows of a batch are divided in proportion; shares need not sum to 1.
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
            _example_at(sources[name], step * count + i, f"{seed}/{name}")
            for name, count in counts.items()
            for i in range(count)
        ]

    return at


def _example_at(examples: Sequence[Example], position: int, seed: str) -> Example:
    epoch, place = divmod(position, len(examples))
    return examples[permuted(place, len(examples), f"{seed}/{epoch}")]


def permuted(place: int, size: int, seed: str) -> int:
    """Image of `place` under a pseudo-random permutation of ``range(size)``, in constant memory.

    A Feistel network over the next even number of bits, iterated until the result is in
    range: cycle walking (Black & Rogaway 2002, "Ciphers with Arbitrary Finite Domains", section 4).

    >>> sorted(permuted(place, 10, "seed") for place in range(10))
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    while True:
        left, right = place >> half, place & mask
        for round_ in range(_ROUNDS):
            left, right = right, left ^ (_round_function(right, round_, seed) & mask)
        place = left << half | right
        if place < size:
            return place


def _round_function(value: int, round_: int, seed: str) -> int:
    digest = hashlib.blake2b(f"{seed}/{round_}/{value}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


class Streamed:
    """Batches of rows that can only be read in order, such as a `datasets.IterableDataset`.

    Shuffled within a buffer. A resumed run reads the earlier rows again and skips
    them. Invalid rows are counted and skipped.

    Parameters
    ----------
    name : str
        Of the data, for errors.
    start : callable
        Starts an epoch: returns an iterable of all rows.
    batch, seed : int
    buffer : int
        Rows of the shuffle buffer, the only ones in memory.

    Attributes
    ----------
    refused : Refused
        Of the rows read so far; counted again in each epoch.
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
        """The batch of a step; a step before the last one restarts reading from the beginning.

        Raises
        ------
        DataError
            If an epoch has no valid example.
        """
        if step < self._next:
            self._rows, self._next = self._endless(), 0
        for _ in range((step - self._next) * self._batch):
            next(self._rows)
        self._next = step + 1
        return [next(self._rows) for _ in range(self._batch)]

    def _endless(self) -> Iterator[Example]:
        for epoch in count():
            empty = True
            for found in self._epoch(epoch):
                empty = False
                yield found
            if empty:
                raise DataError(self.name, "none of its rows is valid", "give rows with a query and a positive")

    def _epoch(self, epoch: int) -> Iterator[Example]:
        draw = random.Random(f"{self._seed}/{epoch}")
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
