"""Token embeddings as a centroid and a few bits per dimension of the residual (ColBERTv2, section 3.3).

The length of a residual has a byte of its own, and the bits are of its direction: so codes of texts
unlike those that the codebook was trained on lose little more than others.

Body::

    8 bytes of the codebook's digest | one u16 centroid per token | per token one u8 length in
    128ths and dim values of 4, 2 or 1 bits, the first in the lowest bits
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cherche_models.codes import codebook
from cherche_models.codes.base import Body, Codec
from cherche_models.codes.codebook import Codebook, directions
from cherche_models.codes.header import CodecError
from cherche_models.types import Floats

Ids = NDArray[np.uint16]
Bytes = NDArray[np.uint8]
_DIGEST = 8
_BLOCK = 1 << 15
_UNIT = 0.02
_STEP = 128


@dataclass(frozen=True, eq=False, kw_only=True)
class Residual(Codec):
    """For unit vectors: they come back as unit vectors.

    The error of a component of a residual's direction is at most half the gap between two levels,
    where it lies within the outermost, and bringing the sum to unit length at most doubles a token's.

    Attributes
    ----------
    bits : int
        Of a component; one of `codebook.BITS`.
    """

    bits: int

    def width(self, dim: int) -> int:
        """Bytes of one token's residual: its length, and its direction.

        >>> [codec.width(5) for codec in CODECS]
        [4, 3, 2]
        """
        return 1 + -(-dim * self.bits // 8)

    def size(self, dim: int, tokens: int) -> int:
        """Bytes of a body.

        >>> [codec.size(64, 180) for codec in CODECS]
        [6308, 3428, 1988]
        """
        return _DIGEST + tokens * (2 + self.width(dim))

    def encode(self, vectors: Floats, book: Codebook | None) -> bytes:
        """The body of some unit vectors.

        Raises
        ------
        ValueError
            If a vector is not of unit length, or the codebook is missing or of another width.
        """
        if book is None:
            raise ValueError(f"the codec {self.name} needs a codebook, and the model has none: run cherche codebook")
        ids, packed = self.quantise(vectors, book)
        return bytes.fromhex(book.digest)[:_DIGEST] + ids.astype("<u2").tobytes() + packed.tobytes()

    def decode(self, bodies: Sequence[Body], dim: int) -> Floats:
        """All rows of one or more bodies of one codebook, in order, shape (rows, dim).

        Raises
        ------
        CodecError
            If the codebook is unknown here.
        """
        ids = np.concatenate([_ids(body) for body in bodies])
        packed = np.frombuffer(b"".join(body.data[_DIGEST + 2 * body.tokens :] for body in bodies), np.uint8)
        return self.restore(ids, packed.reshape(ids.size, self.width(dim)), codebook.find(self.digest(bodies[0])))

    def check(self, body: Body) -> None:
        """Any bytes of the right size decode to numbers, given their codebook; see `codebook`."""

    def digest(self, body: Body) -> str:
        """The first 16 hexadecimal digits of the digest of the codebook that a body names."""
        return body.data[:_DIGEST].hex()

    def codebook(self, body: Body) -> Codebook:
        """The codebook that decodes a body, checked against it.

        Raises
        ------
        CodecError
            If it is unknown here, of another width, or too small for the body.
        """
        book = codebook.find(self.digest(body))
        if book.dim != body.dim:
            raise CodecError(f"token codes have {body.dim} dimensions, their codebook {book.dim}")
        if body.tokens and int(_ids(body).max()) >= len(book.centroids):
            raise CodecError(f"token codes are damaged: a centroid beyond the {len(book.centroids)} of their codebook")
        return book

    def quantise(self, vectors: Floats, book: Codebook) -> tuple[Ids, Bytes]:
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
        levels = book.levels[self.bits]
        left, norms = directions(vectors - book.centroids[ids])
        # The number of midpoints below a value is the position of its nearest level.
        codes = np.searchsorted((levels[1:] + levels[:-1]) / 2, left).astype(np.uint8)
        # No residual of a unit vector and a mean of unit vectors is longer than 2; 255 steps are 1.99.
        lengths = np.minimum(np.rint(norms * _STEP), 255).astype(np.uint8)
        return ids, np.concatenate([lengths[:, None], self._pack(codes)], axis=1)

    def restore(self, ids: Ids, packed: Bytes, book: Codebook) -> Floats:
        """Centroid plus residual, brought to unit length, shape (tokens, dim).

        A table of all bytes turns each byte into its 8 / bits values at once.
        """
        table = _table(book.levels[self.bits].tobytes(), self.bits)
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

    def _pack(self, codes: Bytes) -> Bytes:
        each = 8 // self.bits
        size = self.width(codes.shape[1]) - 1
        padded = np.zeros((len(codes), size * each), np.uint8)
        padded[:, : codes.shape[1]] = codes
        shifted = padded.reshape(len(codes), size, each) << (self.bits * np.arange(each, dtype=np.uint8))
        packed: Bytes = np.bitwise_or.reduce(shifted, axis=2)
        return packed


CODECS = (
    Residual("residual4", 2, "4 bits per dimension", needs_codebook=True, bits=4),
    Residual("residual2", 3, "2 bits per dimension", needs_codebook=True, bits=2),
    Residual("residual1", 4, "1 bit per dimension", needs_codebook=True, bits=1),
)


def _ids(body: Body) -> Ids:
    return np.frombuffer(body.data, "<u2", body.tokens, _DIGEST).astype(np.uint16)


@lru_cache(maxsize=32)
def _table(levels: bytes, bits: int) -> Floats:
    """The values of each byte, shape (256, 8 / bits)."""
    shifts = bits * np.arange(8 // bits)
    codes = (np.arange(256)[:, None] >> shifts) & ((1 << bits) - 1)
    table: Floats = np.frombuffer(levels, np.float32)[codes]
    return table
