"""What a JSON dialect declares: its path, its shapes, and how a request becomes values and values an answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from sidecar.gateway.answers import warning_header
from sidecar.gateway.body import RequestBody
from sidecar.gateway.connectors import Connector
from sidecar.gateway.errors import Shape, neutral
from sidecar.gateway.fields import QueryParameters

if TYPE_CHECKING:
    from fastapi import Response

    from sidecar.services import Services


class Result(Protocol):
    """Values that answer a request."""

    def response(self, content: str) -> Response:
        """Return the HTTP response with `content` as its body and what made the values as headers."""


Body = TypeVar("Body")
Parameters = TypeVar("Parameters", bound=QueryParameters)
Values = TypeVar("Values", bound=Result)
Values_co = TypeVar("Values_co", bound=Result, covariant=True)


class Call(Protocol[Values_co]):
    """What a request asks for, in no dialect: `SparseCall`, `RerankCall` or `EmbeddingsCall`."""

    async def run(self, services: Services, method: str) -> Values_co:
        """Compute the values; `method` labels the metrics.

        Raises
        ------
        ChercheError
            Where they cannot be computed.
        """


def _warned(body: object, values: object) -> dict[str, str]:
    return warning_header(body.warnings()) if isinstance(body, RequestBody) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect(Generic[Body, Parameters, Values]):
    """One JSON dialect. The modules of `sidecar.gateway.dialects` list theirs as ``DIALECTS``.

    Attributes
    ----------
    name : str
        Operation id in the OpenAPI document.
    path : str
        Of the POST requests.
    description : str
        For the OpenAPI document.
    callers, example : str
        Who sends such requests, and an answer: a row of the table in ``opensearch/connectors/README.md``.
    body : pydantic model, or annotated union
        Shape of a request.
    table : type of RequestBody or None
        The keys that a request may have; None where the body says in which table it is.
    parameters : type of QueryParameters
        What the URL may add.
    answer : pydantic model, or list of them
        Shape of an answer, for the OpenAPI document; `write` returns the JSON text itself.
    read : function of body and parameters
        Returns the call in no dialect.
    write : function of body and values
        Returns the JSON text of the answer.
    headers : function of body and values
        Returns headers of the answer, beside those that say what made it; those of `table` warn of what is ignored.
    shape : function of a body, as JSON or as read
        Returns the shape of its errors.
    connectors : tuple of Connector
        Configurations of clusters that call this dialect.
    """

    name: str
    path: str
    description: str
    callers: str
    example: str
    body: Any
    parameters: type[Parameters]
    answer: Any
    table: type[RequestBody] | None = None
    read: Callable[[Body, Parameters], Call[Values]]
    write: Callable[[Body, Values], str]
    headers: Callable[[Body, Values], Mapping[str, str]] = _warned
    shape: Callable[[object], Shape] = lambda body: neutral
    connectors: tuple[Connector, ...] = ()

    async def respond(self, body: Body, parameters: Parameters, services: Services) -> Response:
        """Answer one request.

        Raises
        ------
        ChercheError
            Where the values cannot be computed.
        """
        values = await self.read(body, parameters).run(services, self.path)
        response = values.response(self.write(body, values))
        response.headers.update(self.headers(body, values))
        return response
