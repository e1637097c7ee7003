"""How many objects a serialized message would become, counted on its bytes before anything is made of them.

Two bytes on the wire can become an object of fifty, and eight bytes of a number: the length of a message says little
about what parsing it takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeAlias

from google.protobuf.descriptor import Descriptor, FieldDescriptor

_NUMBERS: Mapping[int, int] = {
    FieldDescriptor.CPPTYPE_INT32: 1,
    FieldDescriptor.CPPTYPE_INT64: 1,
    FieldDescriptor.CPPTYPE_UINT32: 1,
    FieldDescriptor.CPPTYPE_UINT64: 1,
    FieldDescriptor.CPPTYPE_BOOL: 1,
    FieldDescriptor.CPPTYPE_ENUM: 1,
    FieldDescriptor.CPPTYPE_FLOAT: 4,
    FieldDescriptor.CPPTYPE_DOUBLE: 8,
}
"""Least bytes of one packed number; integers of fixed width count as several."""

_Inner: TypeAlias = "Descriptor | int"
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_VARINT_BYTES = 10


class MalformedError(ValueError):
    """Bytes that are no message."""


def count_fields(data: bytes, kind: Any, most: int) -> int:  # noqa: ANN401  # a descriptor of any runtime
    """Fields of a message and of all messages within it, each number of a packed list counted as one.

    Counting ends soon after `most`, so that it takes at most as long as that many fields do.

    Parameters
    ----------
    data : bytes
    kind : descriptor
        Which message they are.
    most : int
        Beyond it the count is not exact.

    Raises
    ------
    MalformedError
        Where the bytes are no message; a count beyond `most` may come first.
    """
    count = 0
    pending: list[tuple[int, int, Descriptor]] = [(0, len(data), kind)]
    while pending:
        place, end, within = pending.pop()
        inner = _inner(within)
        while place < end:
            key, place = _varint(data, place, end)
            count += 1
            wire = key & 7
            if wire == _LENGTH:
                size, place = _varint(data, place, end)
                held = inner.get(key >> 3)
                if isinstance(held, int):
                    count += size // held
                elif held is not None:
                    pending.append((place, place + size, held))
                place += size
            elif wire == _VARINT:
                _, place = _varint(data, place, end)
            elif wire == _FIXED32:
                place += 4
            elif wire == _FIXED64:
                place += 8
            else:
                raise MalformedError(f"byte {place} begins no field")
            if place > end:
                raise MalformedError(f"a field ends beyond byte {end}")
            if count > most:
                return count
    return count


@cache
def _inner(kind: Descriptor) -> dict[int, _Inner]:
    """Field number → the message it holds, or the least bytes of a number in a list of numbers."""
    found: dict[int, _Inner] = {}
    for field in kind.fields:
        if field.message_type is not None:
            found[field.number] = field.message_type
        elif field.is_repeated and field.cpp_type in _NUMBERS:
            found[field.number] = _NUMBERS[field.cpp_type]
    return found


def _varint(data: bytes, place: int, end: int) -> tuple[int, int]:
    value = shift = 0
    for at in range(place, min(end, place + _VARINT_BYTES)):
        byte = data[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + 1
        shift += 7
    raise MalformedError(f"byte {place} begins no number")
