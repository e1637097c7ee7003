"""What a rerank dialect declares, and which of them a body is in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from types import MappingProxyType
from typing import Annotated, Any, Generic

from pydantic import PlainValidator, ValidationError

from sidecar.gateway.answers import warning_header
from sidecar.gateway.connectors import Connector
from sidecar.gateway.dialect import Dialect
from sidecar.gateway.errors import Shape, neutral
from sidecar.gateway.fields import QueryParameters
from sidecar.gateway.rerank import RankedTexts, RerankCall
from sidecar.gateway.rerank_body import Body, RerankBody

PATHS = ("/rerank", "/v1/rerank", "/v2/rerank")
"""Where every rerank dialect is read, whichever the body is in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankDialect(Generic[Body]):
    """One rerank dialect. The modules of `sidecar.gateway.dialects` list theirs as ``RERANKERS``.

    Attributes
    ----------
    name : str
        Provider and version, in the header ``x-cherche-dialect``; the provider comes first in the paths that read
        this dialect alone.
    callers, example : str
        Who sends such requests, and an answer, for the table of dialects.
    paths : tuple of str
        Where its own servers answer, of `PATHS`.
    plain : tuple of str
        Of these, where a body is read as this dialect that could be in several.
    marks : frozenset of str
        Keys that no other dialect has: a body with one of them is in this dialect.
    models : pattern or None
        Names of the provider's models: a body that names one is in this dialect.
    body : type of RerankBody
        The table of its fields.
    answer : pydantic model, or list of them
        Shape of an answer, for the OpenAPI document.
    call : function of body
        Returns the call; a model that is named in the URL is filled in afterwards.
    write : function of body, values and warnings
        Returns the JSON text of the answer.
    shape : Shape
        Of an error.
    headers : function of values and warnings
        Headers that its clients read.
    connectors : tuple of Connector
        Configurations of clusters that call it.
    """

    name: str
    callers: str
    example: str
    paths: tuple[str, ...]
    plain: tuple[str, ...] = ()
    marks: frozenset[str] = frozenset()
    models: re.Pattern[str] | None = None
    body: type[Body]
    answer: Any
    call: Callable[[Body], RerankCall]
    write: Callable[[Body, RankedTexts, list[str]], str]
    shape: Shape = neutral
    headers: Callable[[RankedTexts, list[str]], Mapping[str, str]] = lambda ranked, warnings: MappingProxyType({})
    connectors: tuple[Connector, ...] = ()

    @property
    def provider(self) -> str:
        """The name without its version."""
        return self.name.partition("-")[0]

    @property
    def required(self) -> frozenset[str]:
        """Keys without which a body is not in this dialect."""
        return frozenset(name for name, field in self.body.model_fields.items() if field.is_required())


AnyRerankDialect = RerankDialect[Any]


def routes(dialects: Sequence[AnyRerankDialect]) -> list[Dialect[Any, Any, RankedTexts]]:
    """The paths that read any of the dialects, and for each dialect those that read it alone.

    A prefix serves clients that take a base address and append their provider's path to it.
    """
    shared = [_route(path, _name("rerank", path), candidates(dialects, path)) for path in PATHS]
    alone = [
        _route(f"/{one.provider}{path}", _name(one.provider, path), [one]) for one in dialects for path in one.paths
    ]
    return [*shared, *alone]


def candidates(dialects: Sequence[AnyRerankDialect], path: str) -> list[AnyRerankDialect]:
    """The dialects in the order in which a body on this path is tried: the path's own first."""
    return sorted(dialects, key=lambda one: (path not in one.plain, path not in one.paths))


def dialect_of(body: object, order: Sequence[AnyRerankDialect]) -> AnyRerankDialect:
    """The dialect of a JSON body: what its keys say, else its model's name, else the first that it fits.

    A body that fits none is in the first, whose errors are then shown.
    """
    if not isinstance(body, dict):
        return order[0]
    named = body.get("model")
    for one in order:
        if one.marks & body.keys() and one.required <= body.keys():
            return one
    for one in order:
        if one.models and isinstance(named, str) and one.models.match(named):
            return one
    return next((one for one in order if _fits(one, body)), order[0])


def _fits(dialect: AnyRerankDialect, body: dict[Any, Any]) -> bool:
    try:
        dialect.body.model_validate(body)
    except ValidationError:
        return False
    return True


def _name(first: str, path: str) -> str:
    version = path.split("/")[1]
    return first if version == "rerank" else f"{first}_{version}"


def _route(
    path: str, name: str, order: Sequence[AnyRerankDialect]
) -> Dialect[RerankBody, QueryParameters, RankedTexts]:
    by_body: dict[type[RerankBody], AnyRerankDialect] = {one.body: one for one in order}

    def read(body: RerankBody, parameters: QueryParameters) -> RerankCall:
        return by_body[type(body)].call(body).with_url(parameters.model)

    def warned(body: RerankBody, ranked: RankedTexts) -> list[str]:
        return [*body.warnings(), *ranked.warnings]

    def write(body: RerankBody, ranked: RankedTexts) -> str:
        return by_body[type(body)].write(body, ranked, warned(body, ranked))

    def headers(body: RerankBody, ranked: RankedTexts) -> dict[str, str]:
        one, warnings = by_body[type(body)], warned(body, ranked)
        return {"x-cherche-dialect": one.name, **warning_header(warnings), **one.headers(ranked, warnings)}

    def shape(body: object) -> Shape:
        return (by_body[type(body)] if isinstance(body, RerankBody) else dialect_of(body, order)).shape

    def parse(value: object) -> RerankBody:
        body: RerankBody = dialect_of(value, order).body.model_validate(value)
        return body

    bodies = reduce(or_, [one.body for one in order])
    first = order[0]
    others = f" or {', '.join(one.name for one in order[1:])}, as the body says" if order[1:] else ""
    return Dialect(
        name=name,
        path=path,
        callers=first.callers if len(order) == 1 else "every client below, by what the body says",
        example=first.example if len(order) == 1 else "in the dialect of the body",
        description=f"MaxSim, asked and answered as {first.name}{others}.\n\n"
        "All documents are in the answer, or the first that were asked for; one that is "
        "empty or cannot be scored has a score below all others. Scores are sums of similarities, not probabilities.",
        body=Annotated[Any, PlainValidator(parse, json_schema_input_type=bodies)],
        parameters=QueryParameters,
        answer=reduce(or_, [one.answer for one in order]),
        read=read,
        write=write,
        headers=headers,
        shape=shape,
    )
