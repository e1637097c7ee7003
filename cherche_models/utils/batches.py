"""Batches of lists and of training data, with a progress bar on a terminal."""

from __future__ import annotations

import builtins
import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from tqdm.auto import tqdm

T = TypeVar("T")


def batchify(X: Sequence[T], batch_size: int, desc: str = "", tqdm_bar: bool = True) -> Iterator[Sequence[T]]:
    """Batches of `batch_size` items; the last may be shorter.

    The progress bar is shown on a terminal only.

    Raises
    ------
    ValueError
        If `batch_size` is below 1.

    >>> list(batchify([1, 2, 3], batch_size=2, tqdm_bar=False))
    [[1, 2], [3]]
    """
    if batch_size < 1:
        raise ValueError(f"batch_size {batch_size} is below 1")
    starts = range(0, len(X), batch_size)
    for start in tqdm(starts, desc=desc, disable=None if tqdm_bar else True):
        yield X[start : start + batch_size]


def iter(
    X: Iterable[Sequence[Any]],
    epochs: int,
    batch_size: int,
    shuffle: bool = True,
    tqdm_bar: bool = True,
    seed: int | None = None,
) -> Iterator[tuple[list[Any], ...]]:
    """Batches of training data as columns: ``anchor, positive, negative`` for triples.

    Parameters
    ----------
    X : iterable of rows
        Not modified; an iterable that is not a sequence is read into memory first.
    epochs, batch_size : int
    shuffle : bool
        Change the order in each epoch.
    tqdm_bar : bool
    seed : int or None
        Of the order; None to use Python's global random state.

    >>> list(iter([("q", "a", "b"), ("r", "c", "d")], epochs=1, batch_size=2, shuffle=False))
    [(['q', 'r'], ['a', 'c'], ['b', 'd'])]
    """
    rows = X if isinstance(X, Sequence) else list(X)
    draw = random.Random(random.random() if seed is None else seed)
    for epoch in range(epochs):
        order = list(range(len(rows)))
        if shuffle:
            draw.shuffle(order)
        for batch in batchify(order, batch_size, f"epoch {epoch + 1} of {epochs}", tqdm_bar):
            columns = zip(*(rows[i] for i in batch), strict=True)
            yield tuple(map(builtins.list, columns))
