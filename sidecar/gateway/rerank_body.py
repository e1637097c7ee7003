"""Fields of rerank requests: what is accepted, refused by name, or ignored with a warning; nothing else is ignored.

The body of a dialect is the one table of its fields: it validates requests, warns, and becomes the page of the
connectors (`sidecar.gateway.generate`).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from sidecar.gateway.fields import Count, RerankQuery

Treatment = Literal["accepted", "refused", "ignored"]

_PICTURES = frozenset({"image", "image_url", "multi_modal"})
"""Keys of a document that is no text; `content` is another where it holds parts of a message."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """A field that changes nothing here; a value gets a warning, unless it asks for what is done anyway."""

    why: str
    unless: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """A field of which only the values of its type are read; any other fails the request."""

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
    """One line of a dialect's table of fields."""

    name: str
    treatment: Treatment
    note: str


def _no_picture(document: dict[str, Any]) -> dict[str, Any]:
    if _PICTURES & set(document) or isinstance(document.get("content"), list | dict):
        raise PydanticCustomError("no_text", "is no text: pictures and parts of messages cannot be ranked")
    return document


Document = Annotated[
    Annotated[str, Tag("#text")]
    | Annotated[
        dict[str, Any],
        AfterValidator(_no_picture),
        Field(
            json_schema_extra={
                "propertyNames": {"not": {"enum": sorted(_PICTURES)}},
                "properties": {"content": {"not": {"type": ["array", "object"]}}},
            }
        ),
        Tag("#object"),
    ],
    Discriminator(lambda value: "#text" if isinstance(value, str) else "#object"),
]
"""A text, or an object whose strings are one."""

Documents = Annotated[list[Document], Field(fail_fast=True)]
RankFields = Annotated[list[str], Field(min_length=1, fail_fast=True)]


class TextDocument(BaseModel):
    """A document as an object of a text alone."""

    model_config = ConfigDict(extra="forbid")

    text: str


PlainDocuments = Annotated[
    list[
        Annotated[
            Annotated[str, Tag("#text")] | Annotated[TextDocument, Tag("#object")],
            Discriminator(lambda value: "#text" if isinstance(value, str) else "#object"),
        ]
    ],
    Field(fail_fast=True),
]
"""Texts, or objects of a text alone."""


def text_of(document: str | dict[str, Any] | TextDocument, fields: Sequence[str] = ()) -> str:
    """What of a document is ranked: the named fields, else its `text`, else all its strings; joined by a space.

    >>> text_of({"title": "Aspirin", "year": 1899, "body": "prevents stroke"})
    'Aspirin prevents stroke'
    >>> text_of({"text": "a", "title": "b"}), text_of({"text": "a", "title": "b"}, ["title", "text"])
    ('a', 'b a')
    """
    if isinstance(document, str):
        return document
    if isinstance(document, TextDocument):
        return document.text
    names = fields or (["text"] if isinstance(document.get("text"), str) else list(document))
    values = (document.get(name) for name in names)
    return " ".join(value for value in values if isinstance(value, str) and value)


class RerankBody(BaseModel):
    """Base of the bodies of rerank dialects. Of a subclass, every field is a `Row` of its table."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})

    query: RerankQuery

    @model_validator(mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:  # noqa: ANN401  # any JSON value
        """Refuse keys that are not in the table."""
        unknown = [key for key in value if key not in cls.model_fields] if isinstance(value, dict) else []
        if unknown:
            names = ", ".join(sorted(cls.model_fields))
            near = difflib.get_close_matches(str(unknown[0]), cls.model_fields, 1)
            hint = f", nearest is {near[0]}" if near else ""
            raise PydanticCustomError(
                "unknown_field",
                "unknown field '{name}'{hint}; a body of this kind has: {names}",
                {"name": str(unknown[0])[:60], "hint": hint, "names": names},
            )
        return value

    @classmethod
    def rows(cls) -> Iterator[Row]:
        """The table of the dialect's fields."""
        for name, field in cls.model_fields.items():
            for mark in field.metadata:
                if isinstance(mark, Ignored):
                    yield Row(name, "ignored", mark.why)
                    break
                if isinstance(mark, Refused):
                    yield Row(name, "refused", mark.why)
                    break
            else:
                yield Row(name, "accepted", field.description or "")

    def warnings(self) -> list[str]:
        """One sentence for each field that was given and changes nothing."""
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


class ObjectsBody(RerankBody):
    """Base of the bodies whose documents may be objects, ranked by keys that the caller names."""

    model: str | None = Field(default=None, description="A served model or an alias; the default one without.")
    documents: Documents = Field(description="Texts, or objects: ranked by rank_fields, text, or all their strings.")
    top_n: Count | None = Field(default=None, description="All documents without it.")
    rank_fields: RankFields | None = Field(default=None, description="Keys of objects to rank by, in this order.")
    return_documents: bool | None = Field(default=None, strict=True, description="Off without it.")

    @property
    def texts(self) -> list[str]:
        """The documents as strings."""
        return [text_of(one, self.rank_fields or ()) for one in self.documents]

    def warnings(self) -> list[str]:
        """Also where `rank_fields` names what no document has."""
        objects = [one for one in self.documents if isinstance(one, dict)]
        strange = [name for name in self.rank_fields or () if not any(name in one for one in objects)]
        lost = [f"rank_fields {name!r} is in no document" for name in strange]
        return [*super().warnings(), *lost]


Body = TypeVar("Body", bound=RerankBody)
