"""Term weights for OpenSearch's ml-commons connectors: a map for each text."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, Discriminator, Field, Tag

from sidecar.gateway.connectors import (
    BATCH,
    INGEST_CLIENT,
    MODEL_ID,
    ClusterRequest,
    Connector,
    ml_commons,
    ml_commons_action,
    ml_commons_string,
    named_model,
)
from sidecar.gateway.dialect import Dialect
from sidecar.gateway.fields import (
    Purpose,
    PurposeParameters,
    RequestBody,
    TextList,
    Texts,
    Weights,
    as_list,
    folded,
    kind_of,
)
from sidecar.gateway.sparse import SparseAnswer, SparseCall

PATH = "/opensearch/v1/sparse"


class OpenSearchSparse(RequestBody):
    """What an ml-commons connector sends."""

    input: Texts = Field(
        validation_alias=AliasChoices("input", "texts", "text_docs"), description="Also read as `texts`, `text_docs`."
    )
    model: str | None = Field(default=None, description="A served model; the default one without.")
    content_type: Purpose | None = Field(default=None, description="query or passage, in any casing.")
    sparse_embedding_format: Annotated[Literal["word", "token_id"], BeforeValidator(folded)] | None = Field(
        default=None, description="token_id writes decimal ids, for `sparse_vector` fields; in any casing."
    )


OpenSearchBody = Annotated[
    Annotated[OpenSearchSparse, Tag("#object")] | Annotated[TextList, Tag("#array")],
    Discriminator(lambda value: "#array" if isinstance(value, list) else "#object"),
]


class OpenSearchSparseAnswer(BaseModel):
    """One map of term weights for each text, in order."""

    response: list[Weights]


def _read(body: OpenSearchSparse | list[str], parameters: PurposeParameters) -> SparseCall:
    if isinstance(body, list):
        body = OpenSearchSparse(input=body)
    return SparseCall(
        texts=as_list(body.input),
        model=body.model or parameters.model,
        kind=kind_of(body.content_type or parameters.input_type),
        naming="id" if body.sparse_embedding_format == "token_id" else parameters.naming,
    )


def _write(body: OpenSearchSparse | list[str], answer: SparseAnswer) -> str:
    return f'{{"response":{answer.maps()}}}'


def sparse_connector(gateway: str, model: str = "") -> list[ClusterRequest]:
    """Term weights through ml-commons, for `rank_features` and for `sparse_vector` with token_id."""
    parameters = {
        **named_model(model),
        # A default: neural-search 3.5 sends `query` only for a model that is registered as asymmetric.
        "content_type": "passage",
        "sparse_embedding_format": "word",
        "input_docs_processed_step_size": str(BATCH),
        "skip_validating_missing_parameters": "true",
    }
    strings = (*named_model(model), "content_type", "sparse_embedding_format")
    body = ['"input": ${parameters.input}', *map(ml_commons_string, strings)]
    action = ml_commons_action(gateway + PATH, body, "connector.pre_process.default.embedding")
    encode = {"model_id": MODEL_ID, "field_map": {"text": "text_sparse"}, "batch_size": BATCH}
    return [
        *ml_commons(gateway, "sparse", "Term weights", parameters, INGEST_CLIENT, action),
        ClusterRequest(
            "PUT",
            "/_ingest/pipeline/cherche-sparse",
            {"processors": [{"sparse_encoding": encode}]},
            f"{MODEL_ID} is in the answer above; map text_sparse as rank_features. batch_size is 1 without it.",
        ),
    ]


DIALECTS = [
    Dialect(
        name="opensearch_sparse",
        path=PATH,
        callers="ml-commons connector: object with `input` (or `texts`, `text_docs`), or a bare array",
        example='{"response":[{"term":weight}]}',
        description="Term weights for an ml-commons connector: a map for each text, in order.",
        body=OpenSearchBody,
        parameters=PurposeParameters,
        answer=OpenSearchSparseAnswer,
        read=_read,
        write=_write,
        connectors=(Connector("opensearch", "sparse", sparse_connector),),
    )
]
