"""Term weights for OpenSearch's ml-commons connectors: a map for each text."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, Discriminator, Field, Tag

from sidecar.gateway.body import Ignored, Refused, RequestBody
from sidecar.gateway.connectors import (
    BATCH,
    INGEST_CLIENT,
    MODEL_ID,
    SEARCH_CLIENT,
    TEXT_FIELD,
    TRIED,
    ClusterRequest,
    Connector,
    ml_commons,
    ml_commons_action,
    ml_commons_string,
    named_model,
    text_processors,
)
from sidecar.gateway.dialect import Dialect
from sidecar.gateway.fields import (
    Purpose,
    PurposeParameters,
    TextList,
    Texts,
    Weights,
    as_list,
    either,
    folded,
    kind_of,
)
from sidecar.gateway.sparse import SparseAnswer, SparseCall
from sidecar.values.model import Kind

PATH = "/opensearch/v1/sparse"
_ONE_FORM = "an answer has one form, a map of numbers for each text"


class OpenSearchSparse(RequestBody):
    """What an ml-commons connector sends."""

    input: Texts = Field(
        validation_alias=AliasChoices("input", "texts", "text_docs"), description="Also read as `texts`, `text_docs`."
    )
    model: str | None = Field(default=None, description="A served model; the default one without.")
    content_type: Purpose | None = Field(
        default=None,
        validation_alias=AliasChoices("content_type", "input_type"),
        description="query or passage, in any casing. Also read as `input_type`.",
    )
    sparse_embedding_format: Annotated[Literal["word", "token_id"], BeforeValidator(folded)] | None = Field(
        default=None, description="token_id writes decimal ids, for `sparse_vector` fields; in any casing."
    )
    truncate: Annotated[
        Literal["END", "NONE"] | None,
        Refused("texts are cut at their end (END), or those refused that would be (NONE)"),
    ] = None
    dimensions: Annotated[None, Refused("term weights have one for each term of the vocabulary")] = None
    encoding_format: Annotated[Any, Ignored(_ONE_FORM, unless=("float",))] = None
    embedding_types: Annotated[Any, Ignored(_ONE_FORM, unless=(["float"],))] = None
    return_number: Annotated[Any, Ignored(_ONE_FORM, unless=(True,))] = None
    return_bytes: Annotated[Any, Ignored(_ONE_FORM, unless=(False,))] = None
    target_response: Annotated[Any, Ignored(_ONE_FORM)] = None


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
        model=either("model", body.model, parameters.model) or "",
        kind=_kind(body.content_type, parameters.input_type),
        naming="id" if body.sparse_embedding_format == "token_id" else parameters.naming,
        refuse_truncated=body.truncate == "NONE",
    )


def _kind(body: Purpose | None, url: Purpose | None) -> Kind:
    """What the texts are; ``query`` and ``search`` are the same purpose."""
    if body and url:
        either("content_type", kind_of(body), kind_of(url))
    return kind_of(body or url)


def _write(body: OpenSearchSparse | list[str], answer: SparseAnswer) -> str:
    return f'{{"response":{answer.maps()}}}'


def sparse_connector(gateway: str, model: str = "") -> list[ClusterRequest]:
    """Term weights through ml-commons since 3.5, which tells queries from passages of an asymmetric model."""
    parameters = _parameters(model, "passage")
    body = ['"input": ${parameters.texts}', *map(ml_commons_string, _strings(model))]
    asymmetric = {"model_type": "SPARSE_ENCODING", "additional_config": {"is_asymmetric": True}}
    return [
        *ml_commons(
            gateway,
            "sparse",
            "Term weights",
            parameters,
            INGEST_CLIENT,
            ml_commons_action(gateway + PATH, body),
            model_config=asymmetric,
            note="`neural_sparse` queries and `semantic` fields take the same model.",
        ),
        _pipeline(),
    ]


def sparse_connector_before(gateway: str, model: str = "") -> list[ClusterRequest]:
    """Term weights through ml-commons before 3.5: one model for documents, one for queries."""
    body = ['"input": ${parameters.input}', *map(ml_commons_string, _strings(model))]
    action = ml_commons_action(gateway + PATH, body, "connector.pre_process.default.embedding")
    step = {"input_docs_processed_step_size": str(BATCH)}
    documents = ml_commons(
        gateway, "sparse", "Term weights", _parameters(model, "passage") | step, INGEST_CLIENT, action
    )
    queries = ml_commons(
        gateway,
        "sparse query",
        "Term weights of queries",
        _parameters(model, "query") | step,
        SEARCH_CLIENT,
        action,
        note="`neural_sparse` queries take this model, the ingest pipeline the one above.",
    )
    return [*documents, *(one for one in queries if one not in documents), _pipeline()]


def _parameters(model: str, content_type: str) -> dict[str, str]:
    return {
        **named_model(model),
        "content_type": content_type,
        "sparse_embedding_format": "word",
        "skip_validating_missing_parameters": "true",
    }


def _strings(model: str) -> tuple[str, ...]:
    return (*named_model(model), "content_type", "sparse_embedding_format")


def _pipeline() -> ClusterRequest:
    encode = {"model_id": MODEL_ID, "field_map": {TEXT_FIELD: "text_sparse"}, "batch_size": BATCH}
    return ClusterRequest(
        "PUT",
        "/_ingest/pipeline/cherche-sparse",
        {"processors": [*text_processors(), {"sparse_encoding": encode}]},
        f"{MODEL_ID} is in the answer above; map text_sparse as rank_features. batch_size is 1 without it. Title and "
        f"text are joined in {TEXT_FIELD}, without the ${{ that ml-commons would expand.",
    )


DIALECTS = [
    Dialect(
        name="opensearch_sparse",
        path=PATH,
        callers="ml-commons connector: object with `input` (or `texts`, `text_docs`), or a bare array",
        example='{"response":[{"term":weight}]}',
        description="Term weights for an ml-commons connector: a map for each text, in order.",
        body=OpenSearchBody,
        table=OpenSearchSparse,
        parameters=PurposeParameters,
        answer=OpenSearchSparseAnswer,
        read=_read,
        write=_write,
        connectors=(
            Connector("opensearch", "sparse", sparse_connector, TRIED, since=(3, 5)),
            Connector(
                "opensearch",
                "sparse",
                sparse_connector_before,
                "OpenSearch 3.5.0 with ml-commons 3.5.0.0, as a release before would be; not run on an older one",
            ),
        ),
    )
]
