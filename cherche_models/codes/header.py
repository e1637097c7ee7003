"""The first bytes of packed terms and of token codes: magic and version."""

from __future__ import annotations

import struct

VERSION = 1


class CodecError(ValueError):
    """Bytes that are not what their header says, or whose version this release does not read."""


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
