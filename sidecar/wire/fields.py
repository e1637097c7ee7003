"""Fields that a value and its message have in common, by name.

On the wire 0, "" and no item stand for the value's own default, and so does an unset ``optional`` field. Nested
messages, JSON, and fields that are named otherwise are given by the caller.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from typing import Any, TypeVar, get_args, get_type_hints

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from sidecar.errors import invalid
from sidecar.wire.status import clean

M = TypeVar("M", bound=Message)
T = TypeVar("T")


def to_message(value: object, message: type[M], **given: Any) -> M:  # noqa: ANN401  # fields of any type
    """A message with the fields of a value; `given` adds to them and wins.

    Lone surrogates become question marks: such a text is for people.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for a negative number where the wire has no sign, and for a word that its enum lacks.
    """
    common = [one for one in _common(type(value), message) if one.name not in given]
    return message(**{one.name: one.packed(getattr(value, one.name)) for one in common}, **given)


def to_request(value: object, message: type[M], **given: Any) -> M:  # noqa: ANN401  # fields of any type
    """As `to_message`, for what a server acts on: a text with a lone surrogate is refused, not changed.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT as `to_message`, and for such a text.
    """
    for one in _common(type(value), message):
        if one.name not in given:
            one.check_text(getattr(value, one.name))
    return to_message(value, message, **given)


def from_message(message: Message, kind: type[T], **given: Any) -> T:  # noqa: ANN401  # fields of any type
    """A value with the fields of a message; `given` adds to them and wins.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for an enum value of a later release.
    """
    common = [one for one in _common(kind, type(message)) if one.name not in given and not one.is_default(message)]
    return kind(**{one.name: one.read(message) for one in common}, **given)


def choices(enum: Any, names: tuple[str, ...] = ()) -> dict[int, str]:  # noqa: ANN401  # a descriptor of any runtime
    """Number → name in a value: RERANK_STATUS_APPLIED is APPLIED, or applied where `names` has it so."""
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    spelled = {name.upper(): name for name in names}
    bare = {value.number: value.name.removeprefix(prefix) for value in enum.values if value.number}
    return {number: spelled.get(name, name) for number, name in bare.items()}


@dataclass(frozen=True, slots=True)
class _Common:
    """A field of both; `choices` is None unless it is an enum."""

    name: str
    has_default: bool
    default: object
    has_presence: bool
    is_repeated: bool
    is_unsigned: bool
    choices: dict[int, str] | None

    def packed(self, value: Any) -> Any:  # noqa: ANN401  # of any type
        if self.choices is not None:
            return self._number(value, self.choices)
        if self.is_repeated:
            return [clean(item) for item in value]
        if isinstance(value, str):
            return clean(value)
        if self.is_unsigned and value is not None and value < 0:
            raise invalid(f"{self.name} is {value}", "give 0 for the default, or more")
        return value

    def check_text(self, value: Any) -> None:  # noqa: ANN401  # of any type
        for text in value if self.is_repeated else (value,):
            if isinstance(text, str) and clean(text) != text:
                raise invalid(f"{self.name} {text!r} holds a lone surrogate", "replace it: it is no character")

    def _number(self, value: object, choices: dict[int, str]) -> int:
        number = next((number for number, name in choices.items() if name == value), None)
        if number is not None:
            return number
        if self.has_default and value == self.default:
            return 0  # such as a status that is not reported, which the wire calls unspecified
        raise invalid(f"{self.name} is {value!r}", f"use one of {', '.join(choices.values())}")

    def is_default(self, message: Message) -> bool:
        if not self.has_default:
            return False
        return not (message.HasField(self.name) if self.has_presence else getattr(message, self.name))

    def read(self, message: Message) -> Any:  # noqa: ANN401  # of any type
        value = getattr(message, self.name)
        if self.choices is None:
            return tuple(value) if self.is_repeated else value
        if value not in self.choices:
            raise invalid(
                f"{self.name} {value} is unknown to this release", "upgrade the sidecar, or use a known value"
            )
        return self.choices[value]


# Resolving type hints is slow: it is done once for each pair of types.
_KNOWN: dict[tuple[type, type[Message]], tuple[_Common, ...]] = {}


def _common(kind: type, message: type[Message]) -> tuple[_Common, ...]:
    """Fields of both, messages excepted: texts, numbers, enums, flags and lists of texts."""
    if (kind, message) not in _KNOWN:
        hints, held = get_type_hints(kind), message.DESCRIPTOR.fields_by_name
        _KNOWN[kind, message] = tuple(
            _Common(
                own.name,
                own.default is not MISSING or own.default_factory is not MISSING,
                own.default,
                held[own.name].has_presence,
                held[own.name].is_repeated,
                held[own.name].type in (FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_UINT64),
                choices(held[own.name].enum_type, get_args(hints[own.name])) if held[own.name].enum_type else None,
            )
            for own in fields(kind)
            if own.name in held and held[own.name].message_type is None
        )
    return _KNOWN[kind, message]
