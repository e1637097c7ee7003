"""Bytes of term weights and token embeddings, behind versioned headers.

Both kinds live in the index as binary doc values, so a sidecar of another
version must be able to tell what it reads. Integers are little-endian.

Packed terms::

    magic "CT" | version u8 | reserved u8 | terms u32 | 16-bit grid weights | varint id deltas

Token codes::

    magic "CC" | version u8 | codec u8 | dim u16 | tokens u32 | body

    int8 body: one float16 scale per token, then tokens x dim int8
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cherche_models import grid
from cherche_models.scores import Packed, offsets
from cherche_models.types import Floats, TermWeights, TokenEmbeddings

Codec = Literal["int8"]
CODECS: dict[Codec, int] = {"int8": 1}
VERSION = 1

_LARGEST_ID = 2**32 - 1
_WIDEST = 2**16 - 1
_LARGEST_VALUE = 127 * float(np.finfo(np.float16).max)
_NOT_A_SCALE = re.compile(rb"[^\x00-\x7b]")  # high bytes of float16: sign 0, exponent below 31
_TERMS = struct.Struct("<2sBBI")
_CODES = struct.Struct("<2sBBHI")


class CodecError(ValueError):
    """Bytes that are not what their header says, or whose version this release does not read."""


@dataclass(frozen=True, slots=True)
class CodesHeader:
    """What the header of token codes says."""

    codec: Codec
    dim: int
    tokens: int


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
        If the bytes are cut, foreign or of a later version.

    >>> list(unpack_terms(pack_terms(TermWeights.from_pairs([(5, 1.0), (300, 0.5)]))).items())
    [(5, 1.0), (300, 0.5)]
    """
    _, count = _open(data, _TERMS, b"CT", "packed terms")
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


def pack_codes(embeddings: TokenEmbeddings, codec: Codec = "int8") -> bytes:
    """Quantise token embeddings: per token, values scaled by their largest to [-127, 127].

    The error of a component is at most half a step: max|v| / 254, times 1 + 2**-11
    for the float16 scale; for vectors shorter than 0.008 at most 4e-6.

    Raises
    ------
    ValueError
        If a value is NaN, infinite or beyond the scale's range, the vectors are
        wider than 65,535, or the codec is unknown.

    >>> data = pack_codes(TokenEmbeddings(np.array([[1.0, -0.5]], dtype=np.float32)))
    >>> len(data), unpack_codes(data).vectors.round(2).tolist()
    (14, [[1.0, -0.5]])
    """
    if codec not in CODECS:
        raise ValueError(f"codec {codec!r} is not one of {', '.join(CODECS)}")
    vectors = embeddings.vectors
    if not bool((np.abs(vectors) <= _LARGEST_VALUE).all()):
        raise ValueError("token embeddings hold NaN, infinite or huge values: the model is broken")
    if embeddings.dim > _WIDEST:
        raise ValueError(f"token embeddings have {embeddings.dim} dimensions, the codec holds {_WIDEST}")
    scales, values = _quantise(vectors)
    header = _CODES.pack(b"CC", VERSION, CODECS[codec], embeddings.dim, len(embeddings))
    return header + scales.tobytes() + values.tobytes()


def unpack_codes(data: bytes) -> TokenEmbeddings:
    """Token embeddings of codes, as float32.

    Raises
    ------
    CodecError
        If the bytes are cut, foreign or of a later version or codec.
    """
    header = codes_header(data)
    return TokenEmbeddings(_decode([data], [header], header.dim))


def unpack_many(items: Sequence[bytes | None], dim: int | None = None) -> tuple[Packed, dict[int, CodecError]]:
    """Codes of many documents, straight into one matrix.

    Parameters
    ----------
    items : sequence of bytes or None
        None stands for a document without codes.
    dim : int, optional
        Width the query has; without it, the first readable item's.

    Returns
    -------
    Packed
        In the items' order; None and unreadable items own no rows, so `scores.maxsim`
        gives them -inf.
    dict of int to CodecError
        Position and reason of each item that could not be read. One damaged item
        never costs its neighbours.

    >>> one = pack_codes(TokenEmbeddings(np.array([[1.0, -0.5]], dtype=np.float32)))
    >>> packed, failures = unpack_many([one, None, b"?", one])
    >>> packed.offsets.tolist(), {i: str(error) for i, error in failures.items()}
    ([0, 1, 1, 1, 2], {2: 'these 1 bytes are not token codes'})
    """
    readable: list[tuple[bytes, CodesHeader]] = []
    sizes, failures = [0] * len(items), {}
    for i, item in enumerate(items):
        if item is None:
            continue
        try:
            header = codes_header(item)
            dim = header.dim if dim is None else dim
            _check_width(header.dim, dim)
        except CodecError as error:
            failures[i] = error
        else:
            readable.append((item, header))
            sizes[i] = header.tokens
    vectors = _decode([item for item, _ in readable], [header for _, header in readable], dim or 0)
    return Packed(vectors, offsets(sizes)), failures


def codes_header(data: bytes) -> CodesHeader:
    """Read the header of token codes and check the body against it.

    Raises
    ------
    CodecError
        If the bytes are cut, foreign, or of a later version or codec, or a scale is not a number.
    """
    code, dim, tokens = _open(data, _CODES, b"CC", "token codes")
    codec = next((name for name, number in CODECS.items() if number == code), None)
    if codec is None:
        raise CodecError(f"token codes use codec {code}, which this release does not read: upgrade the sidecar")
    expected = _CODES.size + tokens * (2 + dim)
    if len(data) != expected:
        raise CodecError(f"token codes are damaged: {expected} bytes announced, {len(data)} present")
    if _NOT_A_SCALE.search(data[_CODES.size + 1 : _CODES.size + 2 * tokens : 2]):
        raise CodecError("token codes are damaged: a scale is negative, infinite or NaN")
    return CodesHeader(codec, dim, tokens)


def _quantise(vectors: Floats) -> tuple[NDArray[np.float16], NDArray[np.int8]]:
    peaks = np.abs(vectors).max(axis=1, initial=0.0) if vectors.size else np.zeros(len(vectors), np.float32)
    scales = (peaks / 127.0).astype(np.float16)
    safe = np.where(scales > 0, scales.astype(np.float32), 1.0)
    values = np.clip(np.rint(vectors / safe[:, None]), -127, 127).astype(np.int8)
    return scales.astype("<f2"), values


def _decode(items: Sequence[bytes], headers: Sequence[CodesHeader], dim: int) -> Floats:
    """All rows of int8 bodies: joined first, so that numpy runs once and not per item."""
    bodies = [_CODES.size + 2 * header.tokens for header in headers]
    values = np.frombuffer(b"".join(memoryview(d)[at:] for d, at in zip(items, bodies, strict=True)), np.int8)
    scales = b"".join(memoryview(d)[_CODES.size : at] for d, at in zip(items, bodies, strict=True))
    steps = np.frombuffer(scales, "<f2").astype(np.float32)
    vectors = values.astype(np.float32).reshape(steps.size, dim)
    vectors *= steps[:, None]
    return vectors


def _check_width(found: int, wanted: int) -> None:
    if found != wanted:
        raise CodecError(f"token codes have {found} dimensions, {wanted} are wanted: they come from another reranker")


def _open(data: bytes, layout: struct.Struct, magic: bytes, what: str) -> tuple[int, ...]:
    if len(data) < layout.size or data[:2] != magic:
        raise CodecError(f"these {len(data)} bytes are not {what}")
    _, version, *rest = layout.unpack_from(data)
    if version != VERSION:
        raise CodecError(f"{what} have version {version}, this release reads {VERSION}: upgrade the sidecar")
    return tuple(rest)


def _varints(values: NDArray[np.int64]) -> bytes:
    """LEB128 of non-negative integers below 2**35, vectorised."""
    if values.size == 0:
        return b""
    groups = (values[:, None] >> (7 * np.arange(5))) & 0x7F
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
