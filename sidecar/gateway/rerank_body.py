"""Documents of rerank requests: texts, or objects that hold one, and the bodies that have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from sidecar.gateway.body import RequestBody
from sidecar.gateway.fields import Count, RerankQuery

_NAMED = 8
"""Documents that one warning names."""
_PICTURES = frozenset({"image", "image_url", "multi_modal"})
"""Keys of a document that is no text; `content` is another where it holds parts of a message."""


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


class RerankBody(RequestBody):
    """Base of the bodies of rerank dialects."""

    query: RerankQuery


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
        """Also where `rank_fields` names what no document has, and of objects in which no text is found."""
        objects = [one for one in self.documents if isinstance(one, dict)]
        strange = [name for name in self.rank_fields or () if not any(name in one for one in objects)]
        lost = [f"rank_fields {name!r} is in no document" for name in strange]
        texts = zip(self.documents, self.texts, strict=True)
        empty = [place for place, (one, text) in enumerate(texts) if isinstance(one, dict) and one and not text]
        if empty:
            shown = ", ".join(map(str, empty[:_NAMED])) + (f", … {len(empty)} in all" if len(empty) > _NAMED else "")
            where = "their rank_fields" if self.rank_fields else "text, or any other key,"
            lost.append(f"documents {shown} have no string in {where} and are scored below all others")
        return [*super().warnings(), *lost]


Body = TypeVar("Body", bound=RerankBody)
