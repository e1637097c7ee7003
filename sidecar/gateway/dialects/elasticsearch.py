"""Term weights for Elasticsearch's `custom` inference service: lists of token and weight."""

from __future__ import annotations

from pydantic import BaseModel, Field

from sidecar.gateway.body import RequestBody
from sidecar.gateway.connectors import (
    NOT_RUN,
    PLACEHOLDERS,
    ClusterRequest,
    Connector,
    custom_service,
    inference,
    literal_model,
)
from sidecar.gateway.dialect import Dialect
from sidecar.gateway.fields import Purpose, SparseParameters, Texts, as_list, either, kind_of
from sidecar.gateway.json_text import array
from sidecar.gateway.sparse import SparseAnswer, SparseCall

PATH = "/es/v1/sparse"


class ElasticSparse(RequestBody):
    """What Elasticsearch's `custom` service sends."""

    input: Texts
    model: str | None = Field(default=None, description="A served model; the default one without.")
    input_type: Purpose | None = Field(default=None, description="query or document, in any casing.")


class TokenWeight(BaseModel):
    """One term."""

    token: str
    weight: float


class ElasticEmbedding(BaseModel):
    """The terms of one text."""

    index: int
    embedding: list[TokenWeight]


class ElasticEmbeddings(BaseModel):
    """The terms of each text, in order."""

    sparse_embeddings: list[ElasticEmbedding]


class ElasticSparseAnswer(BaseModel):
    """The terms, inside an object: the service cannot read an array at the root."""

    result: ElasticEmbeddings


def _read(body: ElasticSparse, parameters: SparseParameters) -> SparseCall:
    return SparseCall(
        texts=as_list(body.input),
        model=either("model", body.model, parameters.model) or "",
        kind=kind_of(body.input_type),
        naming=parameters.naming,
    )


def _write(body: ElasticSparse, answer: SparseAnswer) -> str:
    texts = answer.lists("token", "weight")
    embeddings = array(f'{{"index":{place},"embedding":{text}}}' for place, text in enumerate(texts))
    return f'{{"result":{{"sparse_embeddings":{embeddings}}}}}'


def sparse_connector(gateway: str, model: str = "") -> list[ClusterRequest]:
    """Term weights through the `custom` service: an endpoint for documents, and one for queries."""
    body = ['"input": ${input}', '"input_type": ${input_type}', *literal_model(model)]
    path = "$.result.sparse_embeddings[*].embedding[*]"
    parser = {"token_path": f"{path}.token", "weight_path": f"{path}.weight"}

    def endpoint(name: str, default: str, note: str) -> ClusterRequest:
        settings = {
            **custom_service(gateway + PATH, body),
            # `semantic` and `sparse_vector` queries are INTERNAL_SEARCH, which no translation can name: `default`
            # applies to them.
            "input_type": {"translation": {"ingest": "document", "search": "query"}, "default": default},
            "batch_size": 32,
            "response": {"json_parser": parser},
        }
        return inference("sparse_embedding", name, "custom", settings, note)

    since = f"Elasticsearch 8.19, 9.1 and later. {PLACEHOLDERS}"
    return [
        endpoint("cherche-sparse", "document", f"{since} The `inference_id` of a field."),
        endpoint("cherche-sparse-query", "query", "The `search_inference_id` of the field, and that of queries."),
    ]


DIALECTS = [
    Dialect(
        name="elasticsearch_sparse",
        path=PATH,
        callers="Elasticsearch `custom`",
        example='{"result":{"sparse_embeddings":[{"index":0,"embedding":[{"token":"term","weight":1.5}]}]}}',
        description="Term weights for Elasticsearch's `custom` service: lists of token and weight.",
        body=ElasticSparse,
        table=ElasticSparse,
        parameters=SparseParameters,
        answer=ElasticSparseAnswer,
        read=_read,
        write=_write,
        connectors=(Connector("elasticsearch", "sparse", sparse_connector, NOT_RUN),),
    )
]
