"""Memory that libraries keep: what the C library has after it was freed, torch's compiled products, and what need not
be searched for garbage.
"""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Mapping, MutableMapping

_ARENA_MAX = -8  # M_ARENA_MAX of glibc's malloc.h
_ARENAS = 2
_MIB = 1 << 20
_KEPT = {
    "MALLOC_TRIM_THRESHOLD_": (-1, 1024 * _MIB),
    "MALLOC_TOP_PAD_": (-2, 64 * _MIB),
    "MALLOC_MMAP_THRESHOLD_": (-3, 32 * _MIB),
}
"""By the variable that glibc reads itself: the option's number in malloc.h, and bytes."""
_CAPACITIES = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": 256, "LRU_CACHE_CAPACITY": 32}
"""Of oneDNN, for the process, and of torch in front of it, for each thread; both read them at the first product."""
_OLDER = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "DNNL_PRIMITIVE_CACHE_CAPACITY"}


def bound(environment: Mapping[str, str] = os.environ) -> bool:
    """Let all threads share two of glibc's arenas, unless MALLOC_ARENA_MAX says otherwise; whether that was done.

    By default each thread may get its own, up to eight for each core, and each keeps the most that it ever needed.
    Arenas that exist stay: to be called before threads are begun.
    """
    mallopt = _glibc("mallopt")
    return mallopt is not None and "MALLOC_ARENA_MAX" not in environment and bool(mallopt(_ARENA_MAX, _ARENAS))


def keep(environment: Mapping[str, str] = os.environ) -> bool:
    """Let glibc keep what a batch has freed for the next, unless the environment says otherwise; whether all is set.

    Else the end of an arena goes back to the system and comes again, page by page, several times in each batch: up to
    an eighth of a feed's CPU. `trim` gives it back once a model rests.
    """
    mallopt = _glibc("mallopt")
    if mallopt is None:
        return False
    done = [bool(mallopt(*option)) for name, option in _KEPT.items() if name not in environment]
    return all(done)


def bound_primitives(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let torch keep 256 compiled products of bfloat16, unless the environment says how many.

    oneDNN compiles one for each number of rows and keeps 1,024; torch keeps as many descriptions in each thread: .6 MiB
    for both, 600 MiB for models that see texts of all lengths. Of filled batches, see
    `cherche_models.runtime.batches.filled`, 256 are all that a model needs. What torch has forgotten it finds in
    oneDNN's again, in .03 ms. To be called before the first product.
    """
    for name, most in _CAPACITIES.items():
        if _OLDER.get(name, name) not in environment:
            environment.setdefault(name, str(most))


def trim() -> bool:
    """Give what is free back to the system; whether there was any. It takes milliseconds, without Python's lock.

    glibc does so by itself only with what lies at the end of an arena.
    """
    malloc_trim = _glibc("malloc_trim")
    return malloc_trim is not None and bool(malloc_trim(0))


def settle() -> None:
    """Collect garbage once more, and let later collections pass over all that is there now.

    A full collection looks at the half million objects of torch and transformers and takes .3 to 1 s, in which nothing
    else of the process runs, health included. Frozen objects that nothing refers to any more are freed all the same,
    unless they refer to each other in a circle; a model's do not.
    """
    gc.collect()
    gc.freeze()


def _glibc(name: str) -> ctypes._NamedFuncPointer | None:
    """A function that other C libraries lack."""
    try:
        found: ctypes._NamedFuncPointer | None = getattr(ctypes.CDLL(None), name, None)
    except (OSError, TypeError):  # TypeError on Windows, where there is no handle of the program itself
        return None
    return found
