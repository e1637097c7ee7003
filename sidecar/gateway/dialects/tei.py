"""Term weights and MaxSim for clients of text-embeddings-inference (TEI)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from sidecar.gateway.body import Ignored, Refused, RequestBody
from sidecar.gateway.connectors import NOT_RUN, TOKEN, ClusterRequest, Connector, inference
from sidecar.gateway.dialect import Dialect
from sidecar.gateway.errors import tei_shape
from sidecar.gateway.fields import Count, Purpose, QueryParameters, TextList, Texts, as_list, kind_of
from sidecar.gateway.json_text import array, quoted
from sidecar.gateway.rerank import RankedTexts, RerankCall
from sidecar.gateway.rerank_body import RerankBody
from sidecar.gateway.rerank_dialect import RerankDialect
from sidecar.gateway.sparse import SparseAnswer, SparseCall

SPARSE_PATH = "/embed_sparse"
RERANK_PATH = "/rerank"


Direction = Annotated[Literal["Right", "right"] | None, Refused("texts are cut at their end: only Right is read")]


class TeiSparse(RequestBody):
    """What a client of TEI's `/embed_sparse` sends."""

    inputs: Texts
    truncate: bool | None = Field(default=None, strict=True, description="false refuses texts that would be cut.")
    truncation_direction: Direction = None
    prompt_name: Purpose | None = Field(default=None, description="query or document, in any casing.")
    normalize: Annotated[Any, Ignored("term weights have no length to normalize", unless=(False,))] = None


class TeiRerank(RerankBody):
    """What a client of TEI's `/rerank`, or Elasticsearch's `hugging_face` service, sends."""

    texts: TextList
    return_text: bool | None = Field(default=None, strict=True, description="Off without it.")
    top_n: Count | None = Field(default=None, description="All texts without it; Elasticsearch sends it.")
    truncate: bool | None = Field(default=None, strict=True, description="false refuses texts that would be cut.")
    truncation_direction: Direction = None
    raw_scores: Annotated[
        Any, Ignored("scores are sums of similarities in any case, not probabilities", unless=(True,))
    ] = None


class TeiValue(BaseModel):
    """One term of the vocabulary, by id."""

    index: int
    value: float


class TeiRank(BaseModel):
    """One text's MaxSim."""

    index: int
    score: float
    text: str | None = None


def _read_sparse(body: TeiSparse, parameters: QueryParameters) -> SparseCall:
    return SparseCall(
        texts=as_list(body.inputs),
        model=parameters.model,
        kind=kind_of(body.prompt_name),
        naming=None,
        refuse_truncated=body.truncate is False,
    )


def _write_sparse(body: TeiSparse, answer: SparseAnswer) -> str:
    return array(answer.lists("index", "value"))


def _call(body: TeiRerank) -> RerankCall:
    return RerankCall(body.query, body.texts, "", refuse_truncated=body.truncate is False)


def _write_rerank(body: TeiRerank, ranked: RankedTexts, warnings: list[str]) -> str:
    def result(place: int, score: str) -> str:
        text = f',"text":{quoted(body.texts[place])}' if body.return_text else ""
        return f'{{"index":{place},"score":{score}{text}}}'

    return ranked.results(result, body.top_n)


def _headers(ranked: RankedTexts, warnings: list[str]) -> dict[str, str]:
    """Times in whole milliseconds, as TEI gives them."""
    timings, device = ranked.documents.timings, ranked.documents.encoder.info.device
    times = {"tokenization": timings.tokenize, "queue": timings.queue, "inference": timings.encode}
    return {
        "x-compute-type": "cpu" if device.startswith("cpu") else "gpu",
        "x-compute-characters": str(ranked.characters),
        "x-compute-tokens": str(ranked.tokens),
        **{f"x-{name}-time": str(round(1000 * seconds)) for name, seconds in times.items()},
        **{f"x-{name}-time": str(round(1000 * timings.total)) for name in ("compute", "total")},
    }


def rerank_connector(gateway: str, model: str = "") -> list[ClusterRequest]:
    """MaxSim through Elasticsearch's `hugging_face` service, which has the shapes of TEI."""
    settings = {"url": f"{gateway}{RERANK_PATH}{f'?model={model}' if model else ''}", "api_key": TOKEN}
    since = "Elasticsearch 8.19, 9.1 and later, as for the custom service."
    return [inference("rerank", "cherche-rerank", "hugging_face", settings, since)]


DIALECTS = [
    Dialect(
        name="tei_embed_sparse",
        path=SPARSE_PATH,
        callers="clients of TEI",
        example='[[{"index":id,"value":weight}]]',
        description="Term weights for clients of TEI: arrays of vocabulary id and value.",
        body=TeiSparse,
        table=TeiSparse,
        parameters=QueryParameters,
        answer=list[list[TeiValue]],
        read=_read_sparse,
        write=_write_sparse,
        shape=lambda body: tei_shape,
    ),
]
RERANKERS = [
    RerankDialect(
        name="tei",
        callers="clients of TEI, Elasticsearch `hugging_face`",
        example='[{"index":1,"score":17.25}]',
        paths=(RERANK_PATH,),
        marks=frozenset({"texts", "return_text"}),
        body=TeiRerank,
        answer=list[TeiRank],
        call=_call,
        write=_write_rerank,
        shape=tei_shape,
        headers=_headers,
        connectors=(Connector("elasticsearch", "rerank", rerank_connector, NOT_RUN, service="hugging_face"),),
    )
]
