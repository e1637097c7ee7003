"""MaxSim for clients of Voyage's rerank API."""

from __future__ import annotations

import re

from pydantic import BaseModel, Field

from sidecar.gateway.errors import detail_shape
from sidecar.gateway.fields import Count, TextList
from sidecar.gateway.json_text import plain, quoted
from sidecar.gateway.rerank import RankedTexts, RerankCall
from sidecar.gateway.rerank_body import RerankBody
from sidecar.gateway.rerank_dialect import RerankDialect


class VoyageRerank(RerankBody):
    """What a client of Voyage sends."""

    model: str | None = Field(default=None, description="A served model or an alias; the default one without.")
    documents: TextList
    top_k: Count | None = Field(default=None, description="All documents without it.")
    return_documents: bool | None = Field(default=None, strict=True, description="Off without it.")
    truncation: bool | None = Field(default=None, strict=True, description="false refuses texts that would be cut.")


class VoyageResult(BaseModel):
    """One document's MaxSim."""

    relevance_score: float
    index: int
    document: str | None = None


class VoyageUsage(BaseModel):
    """Tokens that the model read."""

    total_tokens: int


class VoyageAnswer(BaseModel):
    """Results in descending order of score: every document, or the first `top_k`."""

    object: str
    data: list[VoyageResult]
    model: str
    usage: VoyageUsage


def _call(body: VoyageRerank) -> RerankCall:
    return RerankCall(body.query, body.documents, body.model or "", refuse_truncated=body.truncation is False)


def _write(body: VoyageRerank, ranked: RankedTexts, warnings: list[str]) -> str:
    def result(place: int, score: str) -> str:
        document = f',"document":{quoted(body.documents[place])}' if body.return_documents else ""
        return f'{{"relevance_score":{score},"index":{place}{document}}}'

    data, usage = ranked.results(result, body.top_k), plain({"total_tokens": ranked.tokens})
    return f'{{"object":"list","data":{data},"model":{quoted(ranked.model)},"usage":{usage}}}'


RERANKERS = [
    RerankDialect(
        name="voyage",
        callers="clients of Voyage",
        example='{"object":"list","data":[{"relevance_score":17.25,"index":1}],"model":"m","usage":{…}}',
        paths=("/v1/rerank",),
        marks=frozenset({"top_k", "truncation"}),
        models=re.compile(r"(voyage/)?rerank-(lite-)?\d"),
        body=VoyageRerank,
        answer=VoyageAnswer,
        call=_call,
        write=_write,
        shape=detail_shape,
    )
]
