"""Token embeddings as one signed byte per dimension, scaled by each token's largest component.

Body::

    one float16 scale per token | tokens x dim int8
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from cherche_models.codes.base import Body, Codec
from cherche_models.codes.codebook import Codebook
from cherche_models.codes.header import CodecError
from cherche_models.types import Floats

_STEPS = 127
_NOT_A_SCALE = re.compile(rb"[^\x00-\x7b]")  # high bytes of float16: sign 0, exponent below 31


class Int8(Codec):
    """The error of a component is at most half a step, max|v| / 254, times 1 + 2**-11 for the float16 scale.

    For vectors shorter than 0.008 it is at most 4e-6.
    """

    def size(self, dim: int, tokens: int) -> int:
        """Bytes of a body.

        >>> CODECS[0].size(64, 180)
        11880
        """
        return tokens * (2 + dim)

    def encode(self, vectors: Floats, book: Codebook | None) -> bytes:
        """Round to the nearest step; `book` is not used."""
        peaks = np.abs(vectors).max(axis=1, initial=0.0) if vectors.size else np.zeros(len(vectors), np.float32)
        scales = (peaks / float(_STEPS)).astype(np.float16)
        safe = np.where(scales > 0, scales.astype(np.float32), 1.0)
        # Clipped: among float16's subnormal numbers a scale may be rounded far below peak / 127.
        values = np.clip(np.rint(vectors / safe[:, None]), -_STEPS, _STEPS).astype(np.int8)
        return scales.astype("<f2").tobytes() + values.tobytes()

    def decode(self, bodies: Sequence[Body], dim: int) -> Floats:
        """All rows of one or more bodies, in order, shape (rows, dim)."""
        steps = np.frombuffer(b"".join(body.data[: 2 * body.tokens] for body in bodies), "<f2").astype(np.float32)
        values = np.frombuffer(b"".join(body.data[2 * body.tokens :] for body in bodies), np.int8)
        vectors = values.astype(np.float32).reshape(steps.size, dim)
        vectors *= steps[:, None]
        return vectors

    def check(self, body: Body) -> None:
        """Refuse a scale that is not a number.

        Raises
        ------
        CodecError
        """
        if _NOT_A_SCALE.search(body.data[1 : 2 * body.tokens : 2].tobytes()):
            raise CodecError("token codes are damaged: a scale is negative, infinite or NaN")


CODECS = (Int8("int8", 1, "1 byte per dimension", largest=_STEPS * float(np.finfo(np.float16).max)),)
