"""Token embeddings as a centroid and a few bits per dimension of what is left (ColBERTv2, section 3.3).

The length of what is left has a byte of its own, and the bits are of its direction: so codes of
texts unlike those that the codebook was trained on lose little more than others.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cherche_models.codes.codebook import Codebook, directions
from cherche_models.types import Floats

Bytes = NDArray[np.uint8]
_BLOCK = 1 << 15
_UNIT = 0.02
_STEP = 128


def width(dim: int, bits: int) -> int:
    """Bytes of one token's residual: its length, and its direction.

    >>> width(64, 2), width(5, 1)
    (17, 2)
    """
    return 1 + -(-dim * bits // 8)


def encode(vectors: Floats, book: Codebook, bits: int) -> tuple[NDArray[np.uint16], Bytes]:
    """Nearest centroids, and residuals: lengths in 128ths, directions as the nearest levels, low bits first.

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
    left, norms = directions(vectors - book.centroids[ids])
    codes = np.searchsorted((levels[1:] + levels[:-1]) / 2, left).astype(np.uint8)
    lengths = np.minimum(np.rint(norms * _STEP), 255).astype(np.uint8)
    return ids, np.concatenate([lengths[:, None], _pack(codes, bits)], axis=1)


def decode(ids: NDArray[np.uint16], packed: Bytes, book: Codebook, bits: int) -> Floats:
    """Centroid plus residual, brought to unit length, shape (tokens, dim).

    A table of all bytes turns each byte into its 8 / bits values at once.
    """
    table = _table(book.levels[bits].tobytes(), bits)
    unit = 1 / (_STEP * np.sqrt(book.dim))
    vectors = np.empty((len(ids), book.dim), np.float32)
    for start in range(0, len(ids), _BLOCK):
        rows = slice(start, start + _BLOCK)
        block = packed[rows, 1:]
        found = table[block].reshape(len(block), block.shape[1] * table.shape[1])[:, : book.dim]
        found = found * (packed[rows, :1] * np.float32(unit)) + book.centroids[ids[rows]]
        norms = np.sqrt(np.einsum("td,td->t", found, found))
        np.divide(found, np.maximum(norms, 1e-12)[:, None], out=vectors[rows])
    return vectors


def _pack(codes: Bytes, bits: int) -> Bytes:
    each = 8 // bits
    size = width(codes.shape[1], bits) - 1
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
