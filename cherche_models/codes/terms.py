"""Term weights as bytes, behind a versioned header; integers are little-endian.

Packed terms::

    magic "CT" | version u8 | reserved u8 | terms u32 | 16-bit grid weights | varint id deltas
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from cherche_models import grid
from cherche_models.codes.header import VERSION, CodecError, open_header
from cherche_models.types import TermWeights

_LARGEST_ID = 2**32 - 1
_TERMS = struct.Struct("<2sBBI")


def pack_terms(weights: TermWeights) -> bytes:
    """Pack term weights; for vocabularies up to 65,536 at most 4 bytes a term, 3 more in all, and the header.

    Raises
    ------
    ValueError
        If a weight cannot be stored on the grid.

    >>> len(pack_terms(TermWeights.from_pairs([(5, 1.0), (300, 0.5)])))
    15
    """
    codes = grid.encode(weights.weights)
    ids = weights.ids.astype(np.int64)
    deltas = ids - np.concatenate(([0], ids))[:-1]
    return _TERMS.pack(b"CT", VERSION, 0, len(weights)) + codes.astype("<u2").tobytes() + _varints(deltas)


def unpack_terms(data: bytes) -> TermWeights:
    """Read packed terms back, exactly.

    Raises
    ------
    CodecError
        If the bytes are cut, not ours or of a later version.

    >>> list(unpack_terms(pack_terms(TermWeights.from_pairs([(5, 1.0), (300, 0.5)]))).items())
    [(5, 1.0), (300, 0.5)]
    """
    _, count = open_header(data, _TERMS, b"CT", "packed terms")
    start = _TERMS.size
    if len(data) < start + 2 * count:
        raise CodecError(f"packed terms are cut: {count} terms announced, {len(data)} bytes present")
    weights = grid.decode(np.frombuffer(data, "<u2", count, start).astype(np.uint16))
    deltas = _read_varints(data[start + 2 * count :], count)
    ids = np.cumsum(deltas)
    if bool((deltas[1:] == 0).any()) or (count and ids[-1] > _LARGEST_ID):
        raise CodecError("packed terms are damaged: their ids do not rise, or do not fit 32 bits")
    if not bool(grid.storable(weights).all()):
        raise CodecError("packed terms are damaged: a weight is not positive and finite")
    return TermWeights(ids.astype(np.uint32), weights)


def _varints(values: NDArray[np.int64]) -> bytes:
    """LEB128 of non-negative integers below 2**35, vectorised."""
    if values.size == 0:
        return b""
    groups = (values[:, None] >> (7 * np.arange(5))) & 0x7F
    # From the top, the first group that is not 0; argmax is 0 for the value 0 too, which the next line corrects.
    used = np.maximum(1, 5 - np.argmax(groups[:, ::-1] != 0, axis=1))
    used[values == 0] = 1
    more = np.arange(5) < (used - 1)[:, None]
    return bytes((groups | (more << 7)).astype(np.uint8)[np.arange(5) < used[:, None]])


def _read_varints(data: bytes, count: int) -> NDArray[np.int64]:
    raw = np.frombuffer(data, np.uint8).astype(np.int64)
    ends = np.flatnonzero(raw < 0x80)
    if ends.size != count or (count and ends[-1] != raw.size - 1) or (not count and raw.size):
        raise CodecError(f"packed terms are damaged: {count} ids announced, {ends.size} present")
    if not count:
        return np.empty(0, np.int64)
    starts = np.concatenate(([0], ends[:-1] + 1))
    shift = 7 * (np.arange(raw.size) - np.repeat(starts, np.diff(np.append(starts, raw.size))))
    if bool((shift > 28).any()):
        raise CodecError("packed terms are damaged: an id does not fit 32 bits")
    return np.add.reduceat((raw & 0x7F) << shift, starts)
