"""Names of codecs and pooling, as an index's settings write them."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Literal, cast

Codec = Literal["int8", "residual4", "residual2", "residual1"]
CODECS: dict[Codec, int] = {"int8": 1, "residual4": 2, "residual2": 3, "residual1": 4}
BITS: dict[str, int] = {"residual4": 4, "residual2": 2, "residual1": 1}
LARGEST_POOL = 16
VERSION = 1
_FORM = re.compile(r"(?:pool([1-9][0-9]?)\+)?(\w+)")


class CodecError(ValueError):
    """Bytes that are not what their header says, or whose version this release does not read."""


@dataclass(frozen=True, slots=True)
class Form:
    """How documents' token embeddings are stored: written ``int8``, ``residual2``, ``pool2+residual1``.

    Attributes
    ----------
    codec : Codec
    pool : int
        About so many tokens become one first; 1 for none. See `cherche_models.codes.pool`.
    """

    codec: Codec
    pool: int = 1

    @classmethod
    def parse(cls, text: str) -> Form:
        """Read one.

        Raises
        ------
        ValueError
            Naming the codecs there are.

        >>> Form.parse("pool2+residual1"), str(Form.parse("pool1+int8"))
        (Form(codec='residual1', pool=2), 'int8')
        """
        found = _FORM.fullmatch(text)
        if not found or found[2] not in CODECS:
            raise ValueError(f"codec {text!r} is not one of {', '.join(CODECS)}, pooled (pool2+int8) or not")
        factor = int(found[1] or 1)
        if factor > LARGEST_POOL:
            raise ValueError(f"codec {text!r} pools {factor} tokens into one: {LARGEST_POOL} at most")
        return cls(cast("Codec", found[2]), factor)

    def __str__(self) -> str:
        return self.codec if self.pool == 1 else f"pool{self.pool}+{self.codec}"

    @property
    def needs_codebook(self) -> bool:
        """Whether codes of this form name a codebook."""
        return self.codec in BITS


def open_header(data: bytes, layout: struct.Struct, magic: bytes, what: str) -> tuple[int, ...]:
    """The fields behind magic and version.

    Raises
    ------
    CodecError
        If the bytes are cut, of another kind, or of a later version.
    """
    if len(data) < layout.size or data[:2] != magic:
        raise CodecError(f"these {len(data)} bytes are not {what}")
    _, version, *rest = layout.unpack_from(data)
    if version != VERSION:
        raise CodecError(f"{what} have version {version}, this release reads {VERSION}: upgrade the sidecar")
    return tuple(rest)
