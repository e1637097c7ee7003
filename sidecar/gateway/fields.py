"""Fields and query parameters that several dialects share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

from sidecar.errors import invalid
from sidecar.gateway.errors import unprocessable
from sidecar.values.model import Kind

Naming = Literal["escaped", "raw", "id"]
"""How a term is written: percent-encoded without dots, as the model's token, or as a decimal id.

A document that keeps weights in its `_source` under a raw name with a dot cannot be updated or reindexed (OpenSearch
3.5: "Field name '.' contains invalid dot usage").
"""

TAG = "#"
"""First character of the tag of a union's branch, which an error's location leaves out."""

_KINDS: dict[str, Kind] = {
    "query": "query",
    "search": "query",
    "internal_search": "query",
    "search_query": "query",
    "passage": "document",
    "document": "document",
    "ingest": "document",
    "internal_ingest": "document",
    "search_document": "document",
}


def folded(value: Any) -> Any:  # noqa: ANN401  # any JSON value
    """Lower-case a string, so that enumerations are read in any casing."""
    return value.strip().lower() if isinstance(value, str) else value


Purpose = Annotated[
    Literal[
        "query",
        "search",
        "internal_search",
        "search_query",
        "passage",
        "document",
        "ingest",
        "internal_ingest",
        "search_document",
    ],
    BeforeValidator(folded),
]
"""Whether texts are queries or documents; in any casing."""


def _whole(value: Any) -> Any:  # noqa: ANN401  # any JSON value
    """Read 2.0 as 2, which JSON does not distinguish; `Count` refuses true and "2"."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Count = Annotated[int, Field(strict=True, ge=1), BeforeValidator(_whole)]

Natural = Annotated[int, Field(strict=True, ge=0), BeforeValidator(_whole)]

RerankQuery = Annotated[str, Field(pattern=r"[^\s\x1c-\x1f\x85]", description="More than white space.")]
"""A query; the control characters are white space to Python, but not to JSON Schema."""

TextList = Annotated[list[str], Field(fail_fast=True)]
"""Several texts. Without fail-fast each that is no string would become an error of its own, a kilobyte each."""

Texts = Annotated[
    Annotated[str, Tag("#one")] | Annotated[TextList, Tag("#many")],
    Discriminator(lambda value: "#one" if isinstance(value, str) else "#many"),
]


def kind_of(purpose: Purpose | None) -> Kind:
    """The kind of text for the model; a document where nothing says otherwise.

    >>> kind_of("search"), kind_of(None)
    ('query', 'document')
    """
    return _KINDS[purpose] if purpose else "document"


def either(name: str, body: str | None, url: str | None) -> str | None:
    """What the body or the URL says.

    Raises
    ------
    ChercheError
        422 where they contradict each other.

    >>> either("model", None, "small"), either("model", "small", "")
    ('small', 'small')
    """
    if body and url and body != url:
        problem = invalid(f"{name} is {body!r} in the body and {url!r} in the URL", "give it in one of them")
        raise unprocessable(problem)
    return body or url


def as_list(texts: str | list[str]) -> list[str]:
    """Return a single text as a list of one."""
    return [texts] if isinstance(texts, str) else texts


class QueryParameters(BaseModel):
    """Query parameters of every dialect; an unknown key is refused, as a typing error would corrupt an index."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(default="", description="A served model; the default one without.")


class SparseParameters(QueryParameters):
    """Query parameters of a dialect whose answers name terms."""

    naming: Naming = Field(
        default="escaped", description="Terms percent-encoded without dots, as the model's tokens, or as decimal ids."
    )


class PurposeParameters(SparseParameters):
    """Query parameters of a dialect whose body cannot say whether it holds queries or documents."""

    input_type: Purpose | None = Field(default=None, description="query or document.")


Weights = dict[str, float]
"""Term → weight."""
