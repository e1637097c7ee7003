"""Keys of request bodies: what is accepted, refused by name, or ignored with a warning; nothing else is ignored.

The body of a dialect is the one table of its keys: it validates requests, warns, and becomes the page of the
connectors (`sidecar.gateway.generate`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from sidecar.errors import nearest, shortened

Treatment = Literal["accepted", "refused", "ignored"]


@dataclass(frozen=True, slots=True)
class Ignored:
    """A key that changes nothing here; a value gets a warning, unless it asks for what is done anyway."""

    why: str
    unless: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """A key of which only the values of its type are read; any other fails the request."""

    why: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401
        """Pydantic's own check of the type, with the reason as its message."""

        def check(value: Any, inner: core_schema.ValidatorFunctionWrapHandler) -> Any:  # noqa: ANN401
            try:
                return inner(value)
            except ValidationError:
                raise PydanticCustomError("refused", "is refused: {why}", {"why": self.why}) from None

        return core_schema.no_info_wrap_validator_function(check, handler(source))


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a dialect's table of keys."""

    name: str
    treatment: Treatment
    note: str
    others: tuple[str, ...] = ()
    """Other names under which it is read."""


class RequestBody(BaseModel):
    """Base of request bodies. Of a subclass, every field is a `Row` of its table; any other key is refused."""

    model_config = ConfigDict(populate_by_name=True, json_schema_extra={"additionalProperties": False})

    @model_validator(mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:  # noqa: ANN401  # any JSON value
        """Refuse keys that are not in the table, and two names of one field."""
        if not isinstance(value, dict):
            return value
        names = cls.names()
        unknown = [key for key in value if key not in names]
        if unknown:
            near = nearest(str(unknown[0]), names)
            raise PydanticCustomError(
                "unknown_field",
                "unknown field '{name}'{hint}; a body of this kind has: {names}",
                {
                    "name": shortened(str(unknown[0])),
                    "hint": f", nearest is {near}" if near else "",
                    "names": ", ".join(sorted(names)),
                },
            )
        given: dict[str, str] = {}
        for key in value:
            first = given.setdefault(names[key], key)
            if first != key:
                raise PydanticCustomError(
                    "two_names", "{first} and {second} are one field: give one", {"first": first, "second": key}
                )
        return value

    @classmethod
    def names(cls) -> dict[str, str]:
        """Each key that a body may have, and the field that it is."""
        return {name: field for field, info in cls.model_fields.items() for name in (field, *_others(field, info))}

    @classmethod
    def rows(cls) -> Iterator[Row]:
        """The table of the dialect's keys."""
        for name, field in cls.model_fields.items():
            for mark in field.metadata:
                if isinstance(mark, Ignored):
                    yield Row(name, "ignored", mark.why)
                    break
                if isinstance(mark, Refused):
                    yield Row(name, "refused", mark.why)
                    break
            else:
                yield Row(name, "accepted", field.description or "", _others(name, field))

    def warnings(self) -> list[str]:
        """One sentence for each key that was given and changes nothing."""
        marked = [
            (name, mark)
            for name, field in type(self).model_fields.items()
            for mark in field.metadata
            if isinstance(mark, Ignored)
        ]
        given = [(name, mark, getattr(self, name)) for name, mark in marked]
        return [
            f"{name} is ignored: {mark.why}"
            for name, mark, value in given
            if value is not None and value not in mark.unless
        ]


def _others(name: str, field: FieldInfo) -> tuple[str, ...]:
    """Other names of a field."""
    alias = field.validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else []
    return tuple(one for one in choices if isinstance(one, str) and one != name)
