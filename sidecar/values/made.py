"""A sequence whose items are made when they are looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeVar, overload

T = TypeVar("T")


class Made(Sequence[T]):
    """So many items, each made when it is first looked at: where many are ordered, and few are shown.

    Parameters
    ----------
    count : int
    make : callable
        The item of a place.

    >>> squares = Made(1000, lambda place: place**2)
    >>> squares[-1], squares[2:4], len(squares)
    (998001, (4, 9), 1000)
    """

    __slots__ = ("_make", "_places")

    def __init__(self, count: int, make: Callable[[int], T]) -> None:
        self._places = range(count)
        self._make = cache(make)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._places)

    @overload
    def __getitem__(self, at: int) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[T, ...]: ...
    def __getitem__(self, at: int | slice) -> T | tuple[T, ...]:
        """One item, or those of a range."""
        if isinstance(at, slice):
            return tuple(map(self._make, self._places[at]))
        return self._make(self._places[at])

    def __eq__(self, other: object) -> bool:
        """Whether another sequence has the same items."""
        return isinstance(other, Sequence) and self[:] == tuple(other)

    __hash__ = None  # type: ignore[assignment]  # as of other sequences that are compared by their items
