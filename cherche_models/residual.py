"""Token embeddings as a centroid and a few bits per dimension of what is left (ColBERTv2, section 3.3)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cherche_models.codebook import Codebook
from cherche_models.types import Floats

Bytes = NDArray[np.uint8]
_BLOCK = 1 << 15
_UNIT = 0.02


def width(dim: int, bits: int) -> int:
    """Bytes of one token's residual.

    >>> width(64, 2), width(5, 1)
    (16, 1)
    """
    return -(-dim * bits // 8)


def encode(vectors: Floats, book: Codebook, bits: int) -> tuple[NDArray[np.uint16], Bytes]:
    """Nearest centroids, and residuals as the nearest levels, packed from the low bits up.

    Returns
    -------
    ids : uint16 array, shape (tokens,)
    packed : uint8 array, shape (tokens, width)

    Raises
    ------
    ValueError
        If a vector is not of unit length, or the codebook is of another width.
    """
    if vectors.shape[1] != book.dim:
        raise ValueError(f"token embeddings have {vectors.shape[1]} dimensions, the codebook {book.dim}")
    norms = np.linalg.norm(vectors, axis=1)
    if not bool((np.abs(norms - 1) <= _UNIT).all()):
        raise ValueError("residual codes hold vectors of length 1, and these are not: use the codec int8")
    ids = book.nearest(vectors)
    levels = book.levels[bits]
    codes = np.searchsorted((levels[1:] + levels[:-1]) / 2, vectors - book.centroids[ids]).astype(np.uint8)
    return ids, _pack(codes, bits)


def decode(ids: NDArray[np.uint16], packed: Bytes, book: Codebook, bits: int) -> Floats:
    """Centroid plus residual, brought to unit length, shape (tokens, dim).

    A table of all bytes turns each byte into its 8 / bits values at once.
    """
    table = _table(book.levels[bits].tobytes(), bits)
    vectors = np.empty((len(ids), book.dim), np.float32)
    for start in range(0, len(ids), _BLOCK):
        rows = slice(start, start + _BLOCK)
        found = table[packed[rows]].reshape(len(packed[rows]), packed.shape[1] * table.shape[1])[:, : book.dim]
        found = found + book.centroids[ids[rows]]
        norms = np.sqrt(np.einsum("td,td->t", found, found))
        np.divide(found, np.maximum(norms, 1e-12)[:, None], out=vectors[rows])
    return vectors


def _pack(codes: Bytes, bits: int) -> Bytes:
    each = 8 // bits
    size = width(codes.shape[1], bits)
    padded = np.zeros((len(codes), size * each), np.uint8)
    padded[:, : codes.shape[1]] = codes
    shifted = padded.reshape(len(codes), size, each) << (bits * np.arange(each, dtype=np.uint8))
    packed: Bytes = np.bitwise_or.reduce(shifted, axis=2)
    return packed


@lru_cache(maxsize=32)
def _table(levels: bytes, bits: int) -> Floats:
    """The values of each byte, shape (256, 8 / bits)."""
    shifts = bits * np.arange(8 // bits)
    codes = (np.arange(256)[:, None] >> shifts) & ((1 << bits) - 1)
    table: Floats = np.frombuffer(levels, np.float32)[codes]
    return table
