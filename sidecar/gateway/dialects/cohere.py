"""MaxSim for clients of Cohere's rerank API; ml-commons and Elasticsearch's `custom` send its first version."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel

from sidecar.gateway.body import Ignored
from sidecar.gateway.connectors import (
    MODEL_ID,
    NOT_RUN,
    PLACEHOLDERS,
    SEARCH_CLIENT,
    TEXT_FIELD,
    TRIED,
    ClusterRequest,
    Connector,
    custom_service,
    inference,
    literal_model,
    ml_commons,
    ml_commons_action,
    ml_commons_string,
    named_model,
    text_processors,
)
from sidecar.gateway.errors import cohere_shape
from sidecar.gateway.json_text import plain, quoted
from sidecar.gateway.rerank import RankedTexts, RerankCall
from sidecar.gateway.rerank_body import ObjectsBody
from sidecar.gateway.rerank_dialect import RerankDialect

PATH = "/v1/rerank"
_SEARCH_UNIT = 100
"""Documents of one search unit, in which Cohere counts."""
_LENGTH = "a document is read up to the model's own length (x-cherche-truncated names those that were cut)"


class _CohereBody(ObjectsBody):
    max_tokens_per_doc: Annotated[Any, Ignored(_LENGTH)] = None


class CohereV1Rerank(_CohereBody):
    """What a Cohere client, an ml-commons connector or Elasticsearch's `custom` service sends."""

    max_chunks_per_doc: Annotated[Any, Ignored(_LENGTH)] = None


class CohereV2Rerank(_CohereBody):
    """What a client of Cohere's second version sends."""

    priority: Annotated[Any, Ignored("searches go before documents, and each other in turn", unless=(0,))] = None


class CohereResult(BaseModel):
    """One document's MaxSim."""

    index: int
    relevance_score: float
    document: dict[str, Any] | None = None


class CohereMeta(BaseModel):
    """Version, units and remarks."""

    api_version: dict[str, str]
    billed_units: dict[str, float]
    warnings: list[str] | None = None


class CohereAnswer(BaseModel):
    """Results in descending order of score: every document, or the first `top_n`."""

    id: str
    results: list[CohereResult]
    meta: CohereMeta


def _call(body: _CohereBody) -> RerankCall:
    return RerankCall(body.query, body.texts, body.model or "")


def _write(body: _CohereBody, ranked: RankedTexts, warnings: list[str]) -> str:
    def result(place: int, score: str) -> str:
        document = f',"document":{_document(body.documents[place])}' if body.return_documents else ""
        return f'{{"index":{place},"relevance_score":{score}{document}}}'

    meta: dict[str, object] = {
        "api_version": {"version": "2" if isinstance(body, CohereV2Rerank) else "1"},
        "billed_units": {"search_units": float(-(-len(body.documents) // _SEARCH_UNIT))},
    }
    if warnings:
        meta["warnings"] = warnings
    return f'{{"id":{quoted(ranked.id)},"results":{ranked.results(result, body.top_n)},"meta":{plain(meta)}}}'


def _document(document: str | dict[str, Any]) -> str:
    return plain(document if isinstance(document, dict) else {"text": document})


def opensearch_connector(gateway: str, model: str = "") -> list[ClusterRequest]:
    """MaxSim through ml-commons; where it fails, the cluster's own order stays."""
    parameters = {**named_model(model), "skip_validating_missing_parameters": "true"}
    body = ['"documents": ${parameters.documents}', *map(ml_commons_string, ("query", *named_model(model)))]
    rerank = "connector.{}_process.cohere.rerank"
    action = ml_commons_action(gateway + PATH, body, rerank.format("pre"))
    action["post_process_function"] = rerank.format("post")
    ingest = {"processors": text_processors()}
    pipeline = {
        # The rerank processor sees the hits of one page only: ten times as many are fetched, and cut again afterwards.
        "request_processors": [{"oversample": {"sample_factor": 10}}],
        "response_processors": [
            {
                "rerank": {
                    "ml_opensearch": {"model_id": MODEL_ID},
                    "context": {"document_fields": [TEXT_FIELD]},
                    "ignore_failure": True,
                }
            },
            {"truncate_hits": {}},
        ],
    }
    return [
        *ml_commons(gateway, "rerank", "MaxSim", parameters, SEARCH_CLIENT, action),
        ClusterRequest(
            "PUT",
            "/_ingest/pipeline/cherche-text",
            ingest,
            f"Writes {TEXT_FIELD}: title and text with a space between, which neural-search does not put there, and "
            "without the ${ that ml-commons would expand: a text with ${parameters.query} would rank first everywhere. "
            "For what is stored already: POST /INDEX/_update_by_query?pipeline=cherche-text",
        ),
        ClusterRequest(
            "PUT",
            "/_search/pipeline/cherche-rerank",
            pipeline,
            f"{MODEL_ID} is in the answer above. Searches with track_total_hits: false cannot be reranked; one whose "
            "query holds ${parameters.query} keeps the cluster's order, as does one whose hits come without _source.",
        ),
    ]


def elasticsearch_connector(gateway: str, model: str = "") -> list[ClusterRequest]:
    """MaxSim through Elasticsearch's `custom` service."""
    body = ['"query": ${query}', '"documents": ${input}', *literal_model(model)]
    parser = {"relevance_score": "$.results[*].relevance_score", "reranked_index": "$.results[*].index"}
    settings = {**custom_service(gateway + PATH, body), "response": {"json_parser": parser}}
    since = f"Elasticsearch 8.19, 9.1 and later. {PLACEHOLDERS}"
    return [inference("rerank", "cherche-rerank", "custom", settings, since)]


RERANKERS = [
    RerankDialect(
        name="cohere-v1",
        callers="Cohere clients, ml-commons connector, Elasticsearch `custom`",
        example='{"id":"…","results":[{"index":1,"relevance_score":17.25}],"meta":{…}}',
        paths=(PATH,),
        plain=(PATH,),
        marks=frozenset({"max_chunks_per_doc"}),
        body=CohereV1Rerank,
        answer=CohereAnswer,
        call=_call,
        write=_write,
        shape=cohere_shape,
        connectors=(
            Connector("opensearch", "rerank", opensearch_connector, TRIED),
            Connector("elasticsearch", "rerank", elasticsearch_connector, NOT_RUN),
        ),
    ),
    RerankDialect(
        name="cohere-v2",
        callers="Cohere clients (`ClientV2`)",
        example='{"id":"…","results":[{"index":1,"relevance_score":17.25}],"meta":{…}}',
        paths=("/v2/rerank",),
        plain=("/v2/rerank",),
        body=CohereV2Rerank,
        answer=CohereAnswer,
        call=_call,
        write=_write,
        shape=cohere_shape,
    ),
]
