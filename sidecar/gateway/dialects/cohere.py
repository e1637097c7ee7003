"""MaxSim for clients of Cohere's rerank API, ml-commons connectors and Elasticsearch's `custom` service."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Discriminator, Field, Tag

from sidecar.gateway.connectors import (
    MODEL_ID,
    SEARCH_CLIENT,
    ClusterRequest,
    Connector,
    custom_service,
    inference,
    literal_model,
    ml_commons,
    ml_commons_action,
    ml_commons_string,
    named_model,
)
from sidecar.gateway.dialect import Dialect
from sidecar.gateway.fields import Count, QueryParameters, RequestBody, RerankQuery
from sidecar.gateway.json_text import plain, quoted
from sidecar.gateway.rerank import RankedTexts, RerankCall

PATH = "/v1/rerank"


class CohereDocument(RequestBody):
    """A document as an object."""

    text: str


class CohereRerank(RequestBody):
    """What a Cohere client, an ml-commons connector or Elasticsearch's `custom` service sends."""

    query: RerankQuery
    documents: Annotated[
        list[
            Annotated[
                Annotated[str, Tag("#text")] | Annotated[CohereDocument, Tag("#object")],
                Discriminator(lambda value: "#text" if isinstance(value, str) else "#object"),
            ]
        ],
        Field(fail_fast=True),
    ]
    model: str | None = None
    top_n: Count | None = Field(default=None, description="All documents without it.")
    return_documents: bool | None = Field(default=None, strict=True)

    @property
    def texts(self) -> list[str]:
        """The documents as strings."""
        return [one if isinstance(one, str) else one.text for one in self.documents]


class CohereResult(BaseModel):
    """One document's MaxSim."""

    index: int
    relevance_score: float
    document: CohereDocument | None = None


class CohereMeta(BaseModel):
    """Remarks on the results."""

    warnings: list[str]


class CohereAnswer(BaseModel):
    """Results in descending order of score: every document, or the first `top_n`."""

    results: list[CohereResult]
    meta: CohereMeta | None = None


def _read(body: CohereRerank, parameters: QueryParameters) -> RerankCall:
    return RerankCall(body.query, body.texts, body.model or parameters.model)


def _write(body: CohereRerank, ranked: RankedTexts) -> str:
    texts = body.texts if body.return_documents else []

    def result(place: int, score: str) -> str:
        document = f',"document":{{"text":{quoted(texts[place])}}}' if body.return_documents else ""
        return f'{{"index":{place},"relevance_score":{score}{document}}}'

    warnings = [f"{error} (scored below all others)" for _, error in sorted(ranked.failures.items())]
    meta = f',"meta":{plain({"warnings": warnings})}' if warnings else ""
    return f'{{"results":{ranked.results(result, body.top_n)}{meta}}}'


def opensearch_connector(gateway: str, model: str = "") -> list[ClusterRequest]:
    """MaxSim through ml-commons; where it fails, the cluster's own order stays."""
    parameters = {**named_model(model), "skip_validating_missing_parameters": "true"}
    body = ['"documents": ${parameters.documents}', *map(ml_commons_string, ("query", *named_model(model)))]
    rerank = "connector.{}_process.cohere.rerank"
    action = ml_commons_action(gateway + PATH, body, rerank.format("pre"))
    action["post_process_function"] = rerank.format("post")
    pipeline = {
        # The rerank processor sees the hits of one page only: ten times as many are fetched, and cut again afterwards.
        "request_processors": [{"oversample": {"sample_factor": 10}}],
        "response_processors": [
            {
                "rerank": {
                    "ml_opensearch": {"model_id": MODEL_ID},
                    "context": {"document_fields": ["title", "text"]},
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
            "/_search/pipeline/cherche-rerank",
            pipeline,
            f"{MODEL_ID} is in the answer above. Searches with track_total_hits: false cannot be reranked.",
        ),
    ]


def elasticsearch_connector(gateway: str, model: str = "") -> list[ClusterRequest]:
    """MaxSim through Elasticsearch's `custom` service."""
    body = ['"query": ${query}', '"documents": ${input}', *literal_model(model)]
    parser = {"relevance_score": "$.results[*].relevance_score", "reranked_index": "$.results[*].index"}
    settings = {**custom_service(gateway + PATH, body), "response": {"json_parser": parser}}
    return [inference("rerank", "cherche-rerank", "custom", settings, "Elasticsearch 8.19, 9.1 and later.")]


DIALECTS = [
    Dialect(
        name="cohere_rerank",
        path=PATH,
        callers="Cohere clients, ml-commons connector, Elasticsearch `custom`",
        example='{"results":[{"index":1,"relevance_score":17.25}]}',
        description="MaxSim for clients of Cohere, ml-commons connectors and Elasticsearch's `custom` service.\n\n"
        "Every document is in the answer; one that is empty or cannot be scored has a score below all others, and\n"
        "`meta.warnings` names the latter.",
        body=CohereRerank,
        parameters=QueryParameters,
        answer=CohereAnswer,
        read=_read,
        write=_write,
        connectors=(
            Connector("opensearch", "rerank", opensearch_connector),
            Connector("elasticsearch", "rerank", elasticsearch_connector),
        ),
    )
]
