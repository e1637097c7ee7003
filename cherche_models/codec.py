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

import struct
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cherche_models import grid
from cherche_models.types import Floats, TermWeights, TokenEmbeddings

Codec = Literal["int8"]
CODECS: dict[Codec, int] = {"int8": 1}
VERSION = 1

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
    """Pack term weights; at most 4 bytes a term for vocabularies up to 65,536, and the header.

    Raises
    ------
    ValueError
        If a weight cannot be stored on the grid.

    >>> len(pack_terms(TermWeights.from_pairs([(5, 1.0), (300, 0.5)])))
    15
    """
    codes = grid.encode(weights.weights)
    deltas = np.diff(weights.ids.astype(np.int64), prepend=0)
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
    codes = np.frombuffer(data, "<u2", count, start)
    deltas = _read_varints(data[start + 2 * count :], count)
    return TermWeights(np.cumsum(deltas).astype(np.uint32), grid.decode(codes.astype(np.uint16)))


def pack_codes(embeddings: TokenEmbeddings, codec: Codec = "int8") -> bytes:
    """Quantise token embeddings: per token, values scaled by their largest to [-127, 127].

    The error of a component is at most scale / 2 = max|v| / 254, plus float16
    rounding of the scale (2**-11 relative).

    Raises
    ------
    ValueError
        If a value is not finite, or the codec is unknown.

    >>> data = pack_codes(TokenEmbeddings(np.array([[1.0, -0.5]], dtype=np.float32)))
    >>> len(data), unpack_codes(data).vectors.round(2).tolist()
    (14, [[1.0, -0.5]])
    """
    if codec not in CODECS:
        raise ValueError(f"codec {codec!r} is not one of {', '.join(CODECS)}")
    vectors = embeddings.vectors
    if not bool(np.isfinite(vectors).all()):
        raise ValueError(
            "token embeddings hold NaN or infinite values: the model is broken, nothing was stored"
        )
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
    scales, values = _int8_body(data, header)
    return TokenEmbeddings(values.astype(np.float32) * scales.astype(np.float32)[:, None])


def codes_header(data: bytes) -> CodesHeader:
    """Read the header of token codes and check the length against it."""
    code, dim, tokens = _open(data, _CODES, b"CC", "token codes")
    codec = next((name for name, number in CODECS.items() if number == code), None)
    if codec is None:
        raise CodecError(
            f"token codes use codec {code}, which this release does not read: upgrade the sidecar"
        )
    expected = _CODES.size + tokens * (2 + dim)
    if len(data) != expected:
        raise CodecError(f"token codes are damaged: {expected} bytes announced, {len(data)} present")
    return CodesHeader(codec, dim, tokens)


def _quantise(vectors: Floats) -> tuple[NDArray[np.float16], NDArray[np.int8]]:
    peaks = np.abs(vectors).max(axis=1, initial=0.0) if vectors.size else np.zeros(len(vectors), np.float32)
    scales = (peaks / 127.0).astype(np.float16)
    safe = np.where(scales > 0, scales.astype(np.float32), 1.0)
    values = np.clip(np.rint(vectors / safe[:, None]), -127, 127).astype(np.int8)
    return scales.astype("<f2"), values


def _int8_body(data: bytes, header: CodesHeader) -> tuple[NDArray[np.float16], NDArray[np.int8]]:
    scales = np.frombuffer(data, "<f2", header.tokens, _CODES.size)
    values = np.frombuffer(data, np.int8, header.tokens * header.dim, _CODES.size + 2 * header.tokens)
    return scales, values.reshape(header.tokens, header.dim)


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
