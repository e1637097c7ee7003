"""MaxSim for clients of Jina's rerank API."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from sidecar.gateway.body import Ignored, Refused
from sidecar.gateway.errors import detail_shape
from sidecar.gateway.fields import Count
from sidecar.gateway.json_text import plain, quoted
from sidecar.gateway.rerank import RankedTexts, RerankCall
from sidecar.gateway.rerank_body import PlainDocuments, RerankBody, TextDocument, text_of
from sidecar.gateway.rerank_dialect import RerankDialect


class JinaRerank(RerankBody):
    """What a client of Jina sends."""

    model: str | None = Field(default=None, description="A served model or an alias; the default one without.")
    documents: PlainDocuments = Field(description="Texts, or objects of a text alone.")
    top_n: Count | None = Field(default=None, description="All documents without it.")
    return_documents: bool | None = Field(default=None, strict=True, description="On without it.")
    return_embeddings: Annotated[
        Literal[False] | None, Refused("token embeddings are answered by POST /v1/multivector")
    ] = None
    max_doc_length: Annotated[Any, Ignored("a document is read up to the model's own length")] = None
    max_query_length: Annotated[Any, Ignored("a query is read up to the model's own length")] = None
    user: Annotated[Any, Ignored("callers are told apart by their token alone")] = None


class JinaResult(BaseModel):
    """One document's MaxSim."""

    index: int
    relevance_score: float
    document: TextDocument | None = None


class JinaUsage(BaseModel):
    """Tokens that the model read."""

    total_tokens: int
    prompt_tokens: int


class JinaAnswer(BaseModel):
    """Results in descending order of score: every document, or the first `top_n`."""

    model: str
    object: str
    usage: JinaUsage
    results: list[JinaResult]


def _call(body: JinaRerank) -> RerankCall:
    return RerankCall(body.query, [text_of(one) for one in body.documents], body.model or "")


def _write(body: JinaRerank, ranked: RankedTexts, warnings: list[str]) -> str:
    def result(place: int, score: str) -> str:
        text = quoted(text_of(body.documents[place]))
        document = "" if body.return_documents is False else f',"document":{{"text":{text}}}'
        return f'{{"index":{place},"relevance_score":{score}{document}}}'

    usage = plain({"total_tokens": ranked.tokens, "prompt_tokens": ranked.tokens})
    results = ranked.results(result, body.top_n)
    return f'{{"model":{quoted(ranked.model)},"object":"list","usage":{usage},"results":{results}}}'


RERANKERS = [
    RerankDialect(
        name="jina",
        callers="clients of Jina",
        example='{"model":"m","object":"list","usage":{"total_tokens":9},"results":[{"index":1,…}]}',
        paths=("/v1/rerank",),
        marks=frozenset({"return_embeddings", "max_doc_length", "max_query_length"}),
        models=re.compile(r"(jinaai/)?jina-"),
        body=JinaRerank,
        answer=JinaAnswer,
        call=_call,
        write=_write,
        shape=detail_shape,
    )
]
