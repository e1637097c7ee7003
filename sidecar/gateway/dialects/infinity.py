"""MaxSim for clients of infinity's rerank API, whose documents return as strings."""

from __future__ import annotations

import time
from typing import Annotated, Any

from pydantic import BaseModel, Field

from sidecar.gateway.body import Ignored
from sidecar.gateway.errors import openai_shape
from sidecar.gateway.fields import Count, TextList
from sidecar.gateway.json_text import plain, quoted
from sidecar.gateway.rerank import RankedTexts, RerankCall
from sidecar.gateway.rerank_body import RerankBody
from sidecar.gateway.rerank_dialect import RerankDialect


class InfinityRerank(RerankBody):
    """What a client of infinity sends."""

    model: str | None = Field(default=None, description="A served model or an alias; the default one without.")
    documents: TextList
    top_n: Count | None = Field(default=None, description="All documents without it.")
    return_documents: bool | None = Field(default=None, strict=True, description="Off without it.")
    raw_scores: Annotated[
        Any, Ignored("scores are sums of similarities in any case, not probabilities", unless=(True,))
    ] = None


class InfinityResult(BaseModel):
    """One document's MaxSim."""

    relevance_score: float
    index: int
    document: str | None = None


class InfinityUsage(BaseModel):
    """Tokens that the model read."""

    prompt_tokens: int
    total_tokens: int


class InfinityAnswer(BaseModel):
    """Results in descending order of score: every document, or the first `top_n`."""

    object: str
    id: str
    model: str
    created: int
    usage: InfinityUsage
    results: list[InfinityResult]


def _call(body: InfinityRerank) -> RerankCall:
    return RerankCall(body.query, body.documents, body.model or "")


def _write(body: InfinityRerank, ranked: RankedTexts, warnings: list[str]) -> str:
    def result(place: int, score: str) -> str:
        document = quoted(body.documents[place]) if body.return_documents else "null"
        return f'{{"relevance_score":{score},"index":{place},"document":{document}}}'

    head = {
        "object": "rerank",
        "id": f"infinity-{ranked.id}",
        "model": ranked.model,
        "created": int(time.time()),
        "usage": {"prompt_tokens": ranked.tokens, "total_tokens": ranked.tokens},
    }
    return f'{plain(head)[:-1]},"results":{ranked.results(result, body.top_n)}}}'


RERANKERS = [
    RerankDialect(
        name="infinity",
        callers="clients of infinity",
        example='{"object":"rerank","results":[{"relevance_score":17.25,"index":1,"document":null}],…}',
        paths=("/rerank",),
        marks=frozenset({"raw_scores"}),
        body=InfinityRerank,
        answer=InfinityAnswer,
        call=_call,
        write=_write,
        shape=openai_shape,
    )
]
