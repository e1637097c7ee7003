"""Term weights and MaxSim for clients of text-embeddings-inference (TEI)."""

from __future__ import annotations

from pydantic import BaseModel, Field

from sidecar.gateway.connectors import TOKEN, ClusterRequest, Connector, inference
from sidecar.gateway.dialect import Dialect
from sidecar.gateway.fields import Count, QueryParameters, RequestBody, RerankQuery, TextList, Texts, as_list
from sidecar.gateway.json_text import array, quoted
from sidecar.gateway.rerank import RankedTexts, RerankCall
from sidecar.gateway.sparse import SparseAnswer, SparseCall

SPARSE_PATH = "/embed_sparse"
RERANK_PATH = "/rerank"


class TeiSparse(RequestBody):
    """What a client of TEI's `/embed_sparse` sends."""

    inputs: Texts
    truncate: bool | None = Field(default=None, strict=True, description="false refuses texts that would be cut.")
    prompt_name: str | None = Field(default=None, description="query encodes queries, all else documents.")


class TeiRerank(RequestBody):
    """What a client of TEI's `/rerank`, or Elasticsearch's `hugging_face` service, sends."""

    query: RerankQuery
    texts: TextList
    return_text: bool | None = Field(default=None, strict=True)
    top_n: Count | None = Field(default=None, description="All texts without it.")
    truncate: bool | None = Field(default=None, strict=True, description="false refuses texts that would be cut.")


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
        kind="query" if body.prompt_name == "query" else "document",
        naming=None,
        refuse_truncated=body.truncate is False,
    )


def _write_sparse(body: TeiSparse, answer: SparseAnswer) -> str:
    return array(answer.lists("index", "value"))


def _read_rerank(body: TeiRerank, parameters: QueryParameters) -> RerankCall:
    return RerankCall(body.query, body.texts, parameters.model, refuse_truncated=body.truncate is False)


def _write_rerank(body: TeiRerank, ranked: RankedTexts) -> str:
    def result(place: int, score: str) -> str:
        text = f',"text":{quoted(body.texts[place])}' if body.return_text else ""
        return f'{{"index":{place},"score":{score}{text}}}'

    return ranked.results(result, body.top_n)


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
        parameters=QueryParameters,
        answer=list[list[TeiValue]],
        read=_read_sparse,
        write=_write_sparse,
    ),
    Dialect(
        name="tei_rerank",
        path=RERANK_PATH,
        callers="clients of TEI, Elasticsearch `hugging_face`",
        example='[{"index":1,"score":17.25}]',
        description="MaxSim for clients of TEI and Elasticsearch's `hugging_face` service; scores are sums, not "
        "probabilities.",
        body=TeiRerank,
        parameters=QueryParameters,
        answer=list[TeiRank],
        read=_read_rerank,
        write=_write_rerank,
        connectors=(Connector("elasticsearch", "rerank", rerank_connector, service="hugging_face"),),
    ),
]
