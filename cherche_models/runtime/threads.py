"""How many threads torch computes with.

A number is of the thread that sets it, and of every thread that begins to compute later.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import torch

# Whoever sets another number for a while would otherwise put back one that somebody else had for a while.
_CHANGING = Lock()


def limit(most: int) -> None:
    """Give torch at most so many threads from now on; those that computed before keep theirs."""
    with _CHANGING:
        torch.set_num_threads(min(torch.get_num_threads(), most))


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
