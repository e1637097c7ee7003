"""Token embeddings: a matrix for each text."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from sidecar.gateway.body import Refused, RequestBody
from sidecar.gateway.dialect import Dialect
from sidecar.gateway.embeddings import EmbeddingsAnswer, EmbeddingsCall
from sidecar.gateway.fields import Purpose, QueryParameters, Texts, as_list, either, kind_of
from sidecar.gateway.json_text import quoted


class Multivector(RequestBody):
    """Texts to encode token by token."""

    input: Texts
    model: str | None = Field(default=None, description="A served model; the default one without.")
    input_type: Purpose | None = Field(default=None, description="query or document, in any casing.")
    dimensions: Annotated[None, Refused("the length of a vector is the model's")] = None
    embedding_type: Annotated[
        Literal["float"] | None, Refused("vectors are arrays of numbers: only float is written")
    ] = None


class MultivectorAnswer(BaseModel):
    """A matrix for each text, in order: one row per token, none for an empty text."""

    model: str
    dim: int
    embeddings: list[list[list[float]]]


def _read(body: Multivector, parameters: QueryParameters) -> EmbeddingsCall:
    model = either("model", body.model, parameters.model) or ""
    return EmbeddingsCall(as_list(body.input), model, kind_of(body.input_type))


def _write(body: Multivector, answer: EmbeddingsAnswer) -> str:
    return f'{{"model":{quoted(answer.model)},"dim":{answer.dim},"embeddings":{answer.matrices}}}'


DIALECTS = [
    Dialect(
        name="multivector",
        path="/v1/multivector",
        callers="any HTTP client",
        example='{"model":"m","dim":128,"embeddings":[[[0.1]]]}',
        description="Token embeddings: a matrix for each text, in order; none for an empty one.",
        body=Multivector,
        table=Multivector,
        parameters=QueryParameters,
        answer=MultivectorAnswer,
        read=_read,
        write=_write,
    )
]
