"""Bodies of token codes: int8, and centroids with residuals of a few bits.

Behind the header that `cherche_models.codec` writes::

    int8       one float16 scale per token, then tokens x dim int8
    residual   8 bytes of the codebook's digest, one u16 centroid per token, then per token one
               u8 length in 128ths and dim values of 4, 2 or 1 bits, the first in the lowest bits
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cherche_models.codes import codebook, residual
from cherche_models.codes.codebook import Codebook
from cherche_models.codes.form import BITS, Codec, CodecError
from cherche_models.types import Floats

HEADER = 10
LARGEST_VALUE = 127 * float(np.finfo(np.float16).max)
_NOT_A_SCALE = re.compile(rb"[^\x00-\x7b]")  # high bytes of float16: sign 0, exponent below 31
_DIGEST = 8


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes behind a header, and what the header says of them."""

    codec: Codec
    dim: int
    tokens: int
    data: memoryview

    @property
    def codebook(self) -> str:
        """The beginning of its codebook's digest, in hexadecimal; empty for int8."""
        return self.data[:_DIGEST].hex() if self.codec in BITS else ""

    def check(self) -> None:
        """Refuse bytes that cannot be read, whatever codebooks are known.

        Raises
        ------
        CodecError
        """
        expected, present = HEADER + size(self.codec, self.dim, self.tokens), HEADER + len(self.data)
        if present != expected:
            raise CodecError(f"token codes are damaged: {expected} bytes announced, {present} present")
        if self.codec == "int8" and _NOT_A_SCALE.search(self.data[1 : 2 * self.tokens : 2].tobytes()):
            raise CodecError("token codes are damaged: a scale is negative, infinite or NaN")

    def check_codebook(self) -> None:
        """Refuse codes whose codebook is unknown here, of another width, or too small for them.

        Raises
        ------
        CodecError
        """
        if self.codec not in BITS:
            return
        book = _book(self.codebook)
        if book.dim != self.dim:
            raise CodecError(f"token codes have {self.dim} dimensions, their codebook {book.dim}")
        ids = np.frombuffer(self.data, "<u2", self.tokens, _DIGEST)
        if self.tokens and int(ids.max()) >= len(book.centroids):
            raise CodecError(f"token codes are damaged: a centroid beyond the {len(book.centroids)} of their codebook")

    def split(self) -> tuple[memoryview, memoryview]:
        """Scales or centroids, and values."""
        first = _DIGEST if self.codec in BITS else 0
        return self.data[first : first + 2 * self.tokens], self.data[first + 2 * self.tokens :]


def size(codec: Codec, dim: int, tokens: int) -> int:
    """Bytes of a body.

    >>> size("int8", 64, 180), size("residual2", 64, 180), size("residual1", 64, 90)
    (11880, 3428, 998)
    """
    bits = BITS.get(codec)
    return _DIGEST + tokens * (2 + residual.width(dim, bits)) if bits else tokens * (2 + dim)


def encode(vectors: Floats, codec: Codec, book: Codebook | None) -> bytes:
    """The body of some tokens.

    Raises
    ------
    ValueError
        If a value cannot be held, or the codebook is missing or another's.
    """
    if not bool((np.abs(vectors) <= LARGEST_VALUE).all()):
        raise ValueError("token embeddings hold NaN, infinite or huge values: the model is broken")
    if codec not in BITS:
        scales, values = _quantise(vectors)
        return scales.tobytes() + values.tobytes()
    if book is None:
        raise ValueError(f"the codec {codec} needs a codebook, and the model has none: run cherche codebook")
    ids, packed = residual.encode(vectors, book, BITS[codec])
    return bytes.fromhex(book.digest)[:_DIGEST] + ids.astype("<u2").tobytes() + packed.tobytes()


def decode(bodies: Sequence[Body], dim: int) -> Floats:
    """All rows, in order: each kind of body at once, so that numpy runs once and not per item."""
    kinds = [(body.codec, body.codebook) for body in bodies]
    distinct = list(dict.fromkeys(kinds))
    if len(distinct) < 2:
        return _decode_alike(bodies, dim)
    ends = np.cumsum([0, *(body.tokens for body in bodies)])
    vectors = np.empty((int(ends[-1]), dim), np.float32)
    for kind in distinct:
        places = [i for i, found in enumerate(kinds) if found == kind]
        rows = np.concatenate([np.arange(ends[i], ends[i + 1]) for i in places])
        vectors[rows] = _decode_alike([bodies[i] for i in places], dim)
    return vectors


def centroids(bodies: Sequence[Body]) -> NDArray[np.uint16]:
    """Centroid ids of residual bodies, one after another."""
    return np.frombuffer(b"".join(body.split()[0] for body in bodies), "<u2").astype(np.uint16)


def _decode_alike(bodies: Sequence[Body], dim: int) -> Floats:
    halves = [body.split() for body in bodies]
    heads, tails = b"".join(head for head, _ in halves), b"".join(tail for _, tail in halves)
    bits = BITS.get(bodies[0].codec) if bodies else None
    if bits:
        ids = np.frombuffer(heads, "<u2").astype(np.uint16)
        packed = np.frombuffer(tails, np.uint8).reshape(ids.size, residual.width(dim, bits))
        return residual.decode(ids, packed, _book(bodies[0].codebook), bits)
    steps = np.frombuffer(heads, "<f2").astype(np.float32)
    vectors = np.frombuffer(tails, np.int8).astype(np.float32).reshape(steps.size, dim)
    vectors *= steps[:, None]
    return vectors


def _quantise(vectors: Floats) -> tuple[NDArray[np.float16], NDArray[np.int8]]:
    peaks = np.abs(vectors).max(axis=1, initial=0.0) if vectors.size else np.zeros(len(vectors), np.float32)
    scales = (peaks / 127.0).astype(np.float16)
    safe = np.where(scales > 0, scales.astype(np.float32), 1.0)
    values = np.clip(np.rint(vectors / safe[:, None]), -127, 127).astype(np.int8)
    return scales.astype("<f2"), values


def _book(digest: str) -> Codebook:
    book = codebook.known(digest)
    if book is None:
        raise CodecError(
            f"token codes are made with the codebook {digest}, which no model here has: "
            "serve the model they were made with, its codebook.safetensors beside it"
        )
    return book
