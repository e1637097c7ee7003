"""How many threads torch computes with: all of them for each operation, or one for each part of the work.

A number is of the thread that sets it, and of every thread that begins to compute later.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier, Lock
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")

# Whoever sets another number for a while would otherwise put back one that somebody else had for a while.
_CHANGING = Lock()
# Of `share`, once it was called: how many threads, and what runs parts in them.
_SHARED: list[tuple[int, ThreadPoolExecutor]] = []


def _forget() -> None:
    if _CHANGING.locked():
        _CHANGING.release()  # by a thread that the child does not have
    _SHARED.clear()


if hasattr(os, "register_at_fork"):
    # The threads stay with the parent: whoever waited for one in the child would wait for ever.
    os.register_at_fork(after_in_child=_forget)


def limit(most: int) -> None:
    """Give torch at most so many threads from now on; those that computed before keep theirs."""
    with _CHANGING:
        torch.set_num_threads(min(torch.get_num_threads(), most))


def share(most: int, begin: Callable[[], object] = lambda: None) -> None:
    """Compute an operation with one thread, and parts of the work side by side, from now on in this process.

    The threads of one operation spin while they wait for each other at its end, and where something else has one's core
    the others wait for that too. Parts wait once, and what they compute has the same last bits for any number of cores.
    The first call counts. What else the process does with torch has one thread too, until it calls `together`.

    Parameters
    ----------
    most : int
        Threads; no more than torch has.
    begin : callable
        Called by each of them first.
    """
    with _CHANGING:
        count = max(1, min(torch.get_num_threads(), most))
        torch.set_num_threads(1)
        if not _SHARED:
            pool = ThreadPoolExecutor(count, thread_name_prefix="encode", initializer=begin)
            started = Barrier(count)

            def first(_: int) -> None:
                started.wait()
                torch.get_num_threads()

            # All of them now: a thread keeps the number that torch had when it was asked there for the first time.
            list(pool.map(first, range(count)))
            _SHARED.append((count, pool))


def together() -> None:
    """Compute an operation of the calling thread, and of those that begin later, with all threads of `share` again."""
    with _CHANGING:
        if _SHARED:
            torch.set_num_threads(_SHARED[0][0])


def workers() -> int:
    """How many parts are computed side by side."""
    return _SHARED[0][0] if _SHARED else 1


def each(work: Callable[[T], R], parts: Sequence[T]) -> Iterator[R]:
    """The results of the parts in their order, computed side by side after `share`, else one after another.

    Raises
    ------
    Exception
        What the first of them raised; those that have not begun are left out then.
    """
    return _SHARED[0][1].map(work, parts) if _SHARED else map(work, parts)


@contextmanager
def one() -> Iterator[None]:
    """Let torch compute in the calling thread alone for the block."""
    with _CHANGING:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)
