"""Token embeddings: a matrix for each text."""

from __future__ import annotations

from pydantic import BaseModel

from sidecar.gateway.dialect import Dialect
from sidecar.gateway.embeddings import EmbeddingsAnswer, EmbeddingsCall
from sidecar.gateway.fields import Purpose, QueryParameters, RequestBody, Texts, as_list, kind_of
from sidecar.gateway.json_text import quoted


class Multivector(RequestBody):
    """Texts to encode token by token."""

    input: Texts
    model: str | None = None
    input_type: Purpose | None = None


class MultivectorAnswer(BaseModel):
    """A matrix for each text, in order: one row per token, none for an empty text."""

    model: str
    dim: int
    embeddings: list[list[list[float]]]


def _read(body: Multivector, parameters: QueryParameters) -> EmbeddingsCall:
    return EmbeddingsCall(as_list(body.input), body.model or parameters.model, kind_of(body.input_type))


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
        parameters=QueryParameters,
        answer=MultivectorAnswer,
        read=_read,
        write=_write,
    )
]
