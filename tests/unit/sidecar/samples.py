"""Values in which every field is set, and no two alike: what a conversion drops or swaps shows."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from itertools import count
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from sidecar.errors import ChercheError, Code

T = TypeVar("T")


def sample(kind: type[T], **given: Any) -> T:
    """One of a dataclass, each field another than its default; `given` where the type says too little."""
    return _of(kind, count(1), given)


def default(field: Field[Any]) -> Any:
    """The default of a field; MISSING without one."""
    return field.default if field.default_factory is MISSING else field.default_factory()


def _of(kind: Any, numbers: count[int], given: Mapping[str, Any]) -> Any:
    hints, made = get_type_hints(kind), {}
    for field in fields(kind):
        made[field.name] = given.get(field.name, MISSING)
        if made[field.name] is MISSING:
            made[field.name] = _value(hints[field.name], field, numbers)
    return kind(**made)


def _value(hint: Any, field: Field[Any], numbers: count[int]) -> Any:
    origin, options = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _value(next(option for option in options if option is not type(None)), field, numbers)
    if origin is Literal:
        return next(option for option in reversed(options) if option != default(field))
    if origin is tuple:
        return tuple(_value(options[0], field, numbers) for _ in range(2))
    if is_dataclass(hint):
        return _of(hint, numbers, {})
    if isinstance(hint, type) and issubclass(hint, Enum):
        return list(hint)[-1]
    number = next(number for number in numbers if number != default(field))
    if hint is bool:
        return default(field) is not True
    makers: dict[Any, Any] = {
        str: f"{field.name}-{number}",
        int: number,
        float: number + 0.5,
        bytes: f"{field.name}-{number}".encode(),
        ChercheError: ChercheError(Code.INTERNAL, f"reason {number}", "next step"),
    }
    return makers.get(hint, {field.name: number})  # JSON


def lost(kind: type[T], back: object, sent: T, untold: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Fields that are not as they were sent, those with a reason in `untold` excepted."""
    assert not set(untold or ()) - {field.name for field in fields(kind)}  # type: ignore[arg-type]  # a dataclass
    return {
        field.name: (getattr(sent, field.name), getattr(back, field.name, MISSING))
        for field in fields(kind)  # type: ignore[arg-type]  # a dataclass
        if field.name not in (untold or {}) and getattr(sent, field.name) != getattr(back, field.name, MISSING)
    }
