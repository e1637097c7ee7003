"""MaxSim for clients of Together's rerank API."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel

from sidecar.gateway.errors import openai_shape
from sidecar.gateway.json_text import plain
from sidecar.gateway.rerank import RankedTexts, RerankCall
from sidecar.gateway.rerank_body import ObjectsBody
from sidecar.gateway.rerank_dialect import RerankDialect


class TogetherRerank(ObjectsBody):
    """What a client of Together sends."""


class TogetherResult(BaseModel):
    """One document's MaxSim."""

    index: int
    relevance_score: float
    document: dict[str, Any] | None = None


class TogetherUsage(BaseModel):
    """Tokens that the model read."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class TogetherAnswer(BaseModel):
    """Results in descending order of score: every document, or the first `top_n`."""

    object: str
    id: str
    model: str
    results: list[TogetherResult]
    usage: TogetherUsage


def _call(body: TogetherRerank) -> RerankCall:
    return RerankCall(body.query, body.texts, body.model or "")


def _write(body: TogetherRerank, ranked: RankedTexts, warnings: list[str]) -> str:
    def result(place: int, score: str) -> str:
        given = body.documents[place]
        document = plain(given if isinstance(given, dict) else {"text": given})
        shown = f',"document":{document}' if body.return_documents else ""
        return f'{{"index":{place},"relevance_score":{score}{shown}}}'

    head = {"object": "rerank", "id": ranked.id, "model": ranked.model}
    usage = {"prompt_tokens": ranked.tokens, "completion_tokens": 0, "total_tokens": ranked.tokens}
    return f'{plain(head)[:-1]},"results":{ranked.results(result, body.top_n)},"usage":{plain(usage)}}}'


RERANKERS = [
    RerankDialect(
        name="together",
        callers="clients of Together",
        example='{"object":"rerank","id":"…","model":"m","results":[{"index":1,…}],"usage":{…}}',
        paths=("/v1/rerank",),
        models=re.compile(r"(salesforce|mixedbread-ai|togethercomputer)/", re.IGNORECASE),
        body=TogetherRerank,
        answer=TogetherAnswer,
        call=_call,
        write=_write,
        shape=openai_shape,
    )
]
