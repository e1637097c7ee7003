"""MaxSim for clients of vLLM's rerank API."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from sidecar.gateway.body import Ignored, Refused
from sidecar.gateway.errors import openai_shape
from sidecar.gateway.fields import Natural
from sidecar.gateway.json_text import plain, quoted
from sidecar.gateway.rerank import RankedTexts, RerankCall
from sidecar.gateway.rerank_body import ObjectsBody
from sidecar.gateway.rerank_dialect import PATHS, RerankDialect

_LENGTH = "a text is read up to the model's own length (x-cherche-truncated names those that were cut)"
_SCORES = "scores are sums of similarities in any case, not probabilities"


class VllmRerank(ObjectsBody):
    """What a client of vLLM sends, also by way of libraries that pass Cohere's keys on."""

    top_n: Natural | None = Field(default=None, description="All documents without it, and for 0.")
    return_documents: bool | None = Field(default=None, strict=True, description="On without it.")
    request_id: str | None = Field(default=None, description="Becomes part of the answer's id.")
    truncation_side: Annotated[Literal["right"] | None, Refused("texts are cut at their end: only right is read")] = (
        None
    )
    truncate_prompt_tokens: Annotated[Any, Ignored(_LENGTH, unless=(-1,))] = None
    max_tokens_per_doc: Annotated[Any, Ignored(_LENGTH, unless=(0,))] = None
    max_tokens_per_query: Annotated[Any, Ignored(_LENGTH, unless=(0,))] = None
    softmax: Annotated[Any, Ignored(_SCORES, unless=(False,))] = None
    activation: Annotated[Any, Ignored(_SCORES, unless=(False,))] = None
    use_activation: Annotated[Any, Ignored(_SCORES, unless=(False,))] = None
    priority: Annotated[Any, Ignored("searches go before documents, and each other in turn", unless=(0,))] = None
    user: Annotated[Any, Ignored("callers are told apart by their token alone")] = None
    instruction: Annotated[None, Refused("the models take no instruction")] = None
    chat_template: Annotated[None, Refused("the models take no template")] = None
    chat_template_kwargs: Annotated[None, Refused("the models take no template")] = None
    mm_processor_kwargs: Annotated[None, Refused("the models read texts alone")] = None


class VllmDocument(BaseModel):
    """A document as it was ranked."""

    text: str
    multi_modal: None = None


class VllmResult(BaseModel):
    """One document's MaxSim."""

    index: int
    document: VllmDocument | None = None
    relevance_score: float


class VllmUsage(BaseModel):
    """Tokens that the model read."""

    prompt_tokens: int
    total_tokens: int


class VllmAnswer(BaseModel):
    """Results in descending order of score: every document, or the first `top_n`."""

    id: str
    model: str
    usage: VllmUsage
    results: list[VllmResult]


def _call(body: VllmRerank) -> RerankCall:
    return RerankCall(body.query, body.texts, body.model or "")


def _write(body: VllmRerank, ranked: RankedTexts, warnings: list[str]) -> str:
    texts = body.texts

    def result(place: int, score: str) -> str:
        document = f'"document":{{"text":{quoted(texts[place])},"multi_modal":null}},'
        shown = "" if body.return_documents is False else document
        return f'{{"index":{place},{shown}"relevance_score":{score}}}'

    head = {
        "id": f"rerank-{body.request_id or ranked.id.replace('-', '')}",
        "model": ranked.model,
        "usage": {"prompt_tokens": ranked.tokens, "total_tokens": ranked.tokens},
    }
    return f'{plain(head)[:-1]},"results":{ranked.results(result, body.top_n or None)}}}'


RERANKERS = [
    RerankDialect(
        name="vllm",
        callers="clients of vLLM",
        example='{"id":"rerank-…","model":"m","usage":{"total_tokens":9},"results":[{"index":1,…}]}',
        paths=PATHS,
        plain=("/rerank",),
        marks=frozenset(
            {
                "truncate_prompt_tokens",
                "truncation_side",
                "max_tokens_per_query",
                "softmax",
                "activation",
                "use_activation",
                "mm_processor_kwargs",
                "chat_template",
                "chat_template_kwargs",
                "instruction",
                "request_id",
            }
        ),
        body=VllmRerank,
        answer=VllmAnswer,
        call=_call,
        write=_write,
        shape=openai_shape,
    )
]
