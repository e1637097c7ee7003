"""The compiled kernel, if there is one: scores documents straight from the bytes of their codes; see `encoder` too."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from ctypes import POINTER, c_char_p, c_int32, c_int64, c_uint8, c_void_p
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cherche_models.kernel import encoder
from cherche_models.kernel.build import FOLDER, LIBRARY, digest
from cherche_models.types import Floats

INT8 = 1
"""Number of the codec int8 in the header of codes."""


@dataclass(frozen=True, slots=True, eq=False)
class Book:
    """What codes of a residual codec are decoded with, see `cherche_models.codes.codecs.residual`.

    Attributes
    ----------
    codec : int
        Its number in the header of codes.
    bits : int
        Of a component: 1, 2 or 4.
    digest : bytes, 8 of them
        As codes name the codebook.
    centroids : float32 array, shape (centroids, dim)
    levels : float32 array, shape (2 ** bits,)
    """

    codec: int
    bits: int
    digest: bytes
    centroids: Floats
    levels: Floats


class _Book(ctypes.Structure):
    """`Book` in the source; all zeros but for the number of int8."""

    _fields_ = (
        ("centroids", c_void_p),
        ("levels", c_void_p),
        ("count", c_int64),
        ("codec", c_int32),
        ("bits", c_int32),
        ("digest", c_uint8 * 8),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """One way of a library to compute, by the instructions that it uses.

    Attributes
    ----------
    name : str
        plain; avx2 or avx512vnni on x86; neon on ARM.
    """

    name: str
    _path: int
    _library: ctypes.CDLL

    def call(self, name: str, *arguments: object) -> int:
        """Call a function of the library whose first argument is the path; without the GIL."""
        return int(getattr(self._library, name)(self._path, *arguments))

    def maxsim(
        self, query: Floats, items: Sequence[bytes | None], book: Book | None = None
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """MaxSim of a query with those documents that have sound codes of its width and of one codec.

        The GIL is free meanwhile.

        Parameters
        ----------
        query : float32 array, shape (query tokens, dim)
        items : sequence of bytes or None
            Codes of each document.
        book : Book or None
            Of the residual codes to score; int8 codes without.

        Returns
        -------
        scores : float32 array, shape (items,)
            -inf for documents without tokens, and for those that were not scored.
        scored : bool array, shape (items,)
            False for other codecs, other codebooks, other widths, damaged codes and None; for all where the
            query has no tokens, is not finite, or is wider than 512.

        Raises
        ------
        ValueError
            If the codebook has another width than the query.
        """
        vectors, count = np.ascontiguousarray(query, np.float32), len(items)
        lengths = np.fromiter((0 if item is None else len(item) for item in items), np.int64, count)
        found, scored = np.full(count, -np.inf, np.float32), np.zeros(count, np.bool_)
        tables = None if book is None else [np.ascontiguousarray(a, np.float32) for a in (book.centroids, book.levels)]
        if book is None or tables is None:
            wanted = _Book(codec=INT8)
        elif tables[0].shape[1] != vectors.shape[1] or tables[1].size != 1 << book.bits:
            raise ValueError(f"a codebook of shape {tables[0].shape} decodes no codes of width {vectors.shape[1]}")
        else:
            digest = (c_uint8 * 8)(*book.digest)
            addresses = [table.ctypes.data for table in tables]
            wanted = _Book(*addresses, len(tables[0]), book.codec, book.bits, digest)
        self._library.cherche_maxsim(
            self._path,
            vectors.ctypes.data,
            *vectors.shape,
            ctypes.byref(wanted),
            (c_char_p * count)(*items),  # addresses of the bytes themselves, which it keeps alive
            lengths.ctypes.data,
            count,
            found.ctypes.data,
            scored.ctypes.data,
        )
        return found, scored


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """Result of loading the library.

    Attributes
    ----------
    kernels : tuple of Kernel
        Those that this processor can run, the plainest first.
    reason : str
        Why there is none.
    """

    kernels: tuple[Kernel, ...] = ()
    reason: str = ""


def load(path: Path = FOLDER / LIBRARY) -> Loaded:
    """Load a library, and never fail: whoever has none computes with numpy.

    A library that was compiled from another source than the one beside it is left alone.
    """
    if not path.is_file():
        return Loaded(reason="the kernel was not compiled")
    try:
        library = ctypes.CDLL(str(path))
        library.cherche_source.restype = library.cherche_path.restype = c_char_p
        library.cherche_path.argtypes = [c_int32]
        library.cherche_maxsim.restype = c_int32
        library.cherche_maxsim.argtypes = [
            *(c_int32, c_void_p, c_int64, c_int64, POINTER(_Book)),
            *(c_void_p, c_void_p, c_int64, c_void_p, c_void_p),
        ]
        encoder.declare(library)
        if library.cherche_source().decode() != digest():
            return Loaded(reason="the kernel is older than its source: run python -m cherche_models.kernel.build")
        names = [(path, library.cherche_path(path)) for path in range(8)]
    except (OSError, AttributeError) as error:
        return Loaded(reason=f"the kernel cannot be loaded: {error}")
    return Loaded(tuple(Kernel(name.decode(), number, library) for number, name in names if name))


@functools.cache
def installed() -> Loaded:
    """The library of this package, loaded once."""
    return load()


def described() -> str:
    """Which MaxSim of stored codes this process has: compiled for some instructions, or numpy's, and why."""
    found = installed()
    return f"compiled, {found.kernels[-1].name}" if found.kernels else f"numpy, since {found.reason}"
