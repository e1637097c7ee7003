"""Header and chunks around the body of a document's token codes; integers are little-endian.

Token codes::

    magic "CC" | version u8 | codec u8 | dim u16 | tokens u32 | body

What a body holds, each module of `cherche_models.codes.codecs` says. Codes of a document that was cut
into chunks have version 2, all rows back to back, and behind the body::

    rows u32 of each chunk | chunks u16
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cherche_models.codes.base import Body, Codec
from cherche_models.codes.header import VERSION, CodecError, open_header
from cherche_models.codes.table import CODECS
from cherche_models.types import Floats

CHUNKED = 2
WIDEST = 2**16 - 1
_MAGIC = b"CC"
_HEADER = struct.Struct("<2sBBHI")
_BY_NUMBER = {codec.number: codec for codec in CODECS.values()}


@dataclass(frozen=True, slots=True)
class Frame:
    """One document's codes, taken apart and checked.

    Attributes
    ----------
    codec : Codec
    body : Body
    chunks : tuple of int
        Rows of each chunk; none where the document was not cut.
    """

    codec: Codec
    body: Body
    chunks: tuple[int, ...]

    @property
    def digest(self) -> str:
        """The beginning of its codebook's digest; empty where the codec needs none."""
        return self.codec.digest(self.body)


def write(codec: Codec, dim: int, tokens: int, body: bytes, chunks: Sequence[int]) -> bytes:
    """Put a header before a body, and behind it the rows of each of several chunks."""
    # A document of one window has the bytes that it would have without chunks.
    if len(chunks) < 2:
        return _HEADER.pack(_MAGIC, VERSION, codec.number, dim, tokens) + body
    trailer = struct.pack(f"<{len(chunks)}IH", *chunks, len(chunks))
    return _HEADER.pack(_MAGIC, CHUNKED, codec.number, dim, tokens) + body + trailer


def read(data: bytes) -> Frame:
    """Take codes apart and check them, without their codebook.

    Raises
    ------
    CodecError
        If the bytes are cut, not ours, of a later version or codec, or damaged.
    """
    plain, chunks = _peel(data)
    number, dim, tokens = open_header(plain, _HEADER, _MAGIC, "token codes")
    codec = _BY_NUMBER.get(number)
    if codec is None:
        raise CodecError(f"token codes use codec {number}, which this release does not read: upgrade the sidecar")
    body = Body(dim, tokens, memoryview(plain)[_HEADER.size :])
    expected = _HEADER.size + codec.size(dim, tokens)
    if len(plain) != expected:
        raise CodecError(f"token codes are damaged: {expected} bytes announced, {len(plain)} present")
    codec.check(body)
    if chunks and sum(chunks) != tokens:
        raise CodecError(f"token codes are damaged: chunks of {sum(chunks)} rows, {tokens} present")
    return Frame(codec, body, chunks)


def decode(frames: Sequence[Frame], dim: int) -> Floats:
    """All rows, in order: each codec and codebook at once, so that numpy runs once and not per document."""
    kinds = [(frame.codec, frame.digest) for frame in frames]
    distinct = dict.fromkeys(kinds)
    if len(distinct) == 1:
        return frames[0].codec.decode([frame.body for frame in frames], dim)
    ends = np.cumsum([0, *(frame.body.tokens for frame in frames)])
    vectors = np.empty((int(ends[-1]), dim), np.float32)
    for kind in distinct:
        places = [i for i, found in enumerate(kinds) if found == kind]
        rows = np.concatenate([np.arange(ends[i], ends[i + 1]) for i in places])
        vectors[rows] = kind[0].decode([frames[i].body for i in places], dim)
    return vectors


def _peel(data: bytes) -> tuple[bytes, tuple[int, ...]]:
    """Codes as if the document had not been cut into chunks, and the rows of each chunk; none where it was not."""
    if data[:3] != bytes((*_MAGIC, CHUNKED)):
        return data, ()
    count = int.from_bytes(data[-2:], "little")
    end = len(data) - 2 - 4 * count
    if count < 2 or end < _HEADER.size:
        raise CodecError(f"token codes are damaged: {count} chunks announced in {len(data)} bytes")
    return _MAGIC + bytes((VERSION,)) + data[3:end], struct.unpack_from(f"<{count}I", data, end)
