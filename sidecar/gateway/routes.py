"""One function per dialect: JSON in, the shared work, JSON out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from sidecar.gateway import answers, shapes
from sidecar.gateway.answers import Ranked, Sparse
from sidecar.gateway.encode import encode, matrices, names, pick, require_all
from sidecar.gateway.paths import (
    COHERE_RERANK,
    ELASTICSEARCH_ELSER,
    ELASTICSEARCH_SPARSE,
    MULTIVECTOR,
    OPENSEARCH_SPARSE,
    TEI_RERANK,
    TEI_SPARSE,
)
from sidecar.gateway.rerank import check_query, rank, read
from sidecar.gateway.shapes import Naming, kind_of, listed
from sidecar.gateway.wire import array, plain, quoted
from sidecar.services import Services
from sidecar.values.model import Kind, Lane

router = APIRouter()


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Shared = Annotated[Services, Depends(_services)]
Plain = Annotated[shapes.Address, Query()]
Named = Annotated[shapes.SparseAddress, Query()]
Aimed = Annotated[shapes.AimedAddress, Query()]


@router.post(OPENSEARCH_SPARSE, response_model=shapes.OpenSearchSparseAnswer, operation_id="opensearch_sparse")
async def opensearch_sparse(body: shapes.OpenSearchBody, services: Shared, address: Aimed) -> Response:
    """Term weights for an ml-commons connector: a map for each text, in order."""
    if isinstance(body, list):
        body = shapes.OpenSearchSparse(input=body)
    how: Naming = "id" if body.sparse_embedding_format == "token_id" else address.naming
    kind = kind_of(body.content_type or address.input_type)
    sparse = await _sparse(services, OPENSEARCH_SPARSE, listed(body.input), body.model or address.model, kind, how)
    return sparse.response(f'{{"response":{sparse.maps()}}}')


@router.post(ELASTICSEARCH_SPARSE, response_model=shapes.ElasticSparseAnswer, operation_id="elasticsearch_sparse")
async def elasticsearch_sparse(body: shapes.ElasticSparse, services: Shared, address: Named) -> Response:
    """Term weights for Elasticsearch's `custom` service: lists of token and weight."""
    kind = kind_of(body.input_type)
    sparse = await _sparse(
        services, ELASTICSEARCH_SPARSE, listed(body.input), body.model or address.model, kind, address.naming
    )
    texts = sparse.lists("token", "weight")
    embeddings = array(f'{{"index":{place},"embedding":{text}}}' for place, text in enumerate(texts))
    return sparse.response(f'{{"result":{{"sparse_embeddings":{embeddings}}}}}')


@router.post(ELASTICSEARCH_ELSER, response_model=list[shapes.Weights], operation_id="elasticsearch_elser")
async def elasticsearch_elser(body: shapes.ElserSparse, services: Shared, address: Aimed) -> Response:
    """Term weights for Elasticsearch's `hugging_face` service: an array of maps."""
    sparse = await _sparse(
        services, ELASTICSEARCH_ELSER, listed(body.inputs), address.model, kind_of(address.input_type), address.naming
    )
    return sparse.response(sparse.maps())


@router.post(TEI_SPARSE, response_model=list[list[shapes.TeiValue]], operation_id="tei_embed_sparse")
async def tei_embed_sparse(body: shapes.TeiSparse, services: Shared, address: Plain) -> Response:
    """Term weights for clients of TEI: arrays of vocabulary id and value."""
    kind: Kind = "query" if body.prompt_name == "query" else "document"
    uncut = body.truncate is False
    sparse = await _sparse(services, TEI_SPARSE, listed(body.inputs), address.model, kind, None, uncut=uncut)
    return sparse.response(array(sparse.lists("index", "value")))


@router.post(
    COHERE_RERANK,
    response_model=shapes.CohereAnswer,
    response_model_exclude_none=True,
    operation_id="cohere_rerank",
)
async def cohere_rerank(body: shapes.CohereRerank, services: Shared, address: Plain) -> Response:
    """MaxSim for clients of Cohere, ml-commons connectors and Elasticsearch's `custom` service.

    Every document is in the answer; one that is empty or cannot be scored has a score below all others, and
    `meta.warnings` names the latter.
    """
    texts = [one if isinstance(one, str) else one.text for one in body.documents]
    ranked = await _ranked(services, COHERE_RERANK, body.query, texts, body.model or address.model)

    def result(place: int, score: str) -> str:
        document = f',"document":{{"text":{quoted(texts[place])}}}' if body.return_documents else ""
        return f'{{"index":{place},"relevance_score":{score}{document}}}'

    warnings = [f"{error} (scored below all others)" for _, error in sorted(ranked.documents.failures.items())]
    meta = f',"meta":{plain({"warnings": warnings})}' if warnings else ""
    return ranked.response(f'{{"results":{ranked.results(result, body.top_n)}{meta}}}')


@router.post(TEI_RERANK, response_model=list[shapes.TeiRank], operation_id="tei_rerank")
async def tei_rerank(body: shapes.TeiRerank, services: Shared, address: Plain) -> Response:
    """MaxSim for clients of TEI and Elasticsearch's `hugging_face` service; scores are sums, not probabilities."""
    ranked = await _ranked(services, TEI_RERANK, body.query, body.texts, address.model, uncut=body.truncate is False)

    def result(place: int, score: str) -> str:
        text = f',"text":{quoted(body.texts[place])}' if body.return_text else ""
        return f'{{"index":{place},"score":{score}{text}}}'

    return ranked.response(ranked.results(result, body.top_n))


@router.post(MULTIVECTOR, response_model=shapes.MultivectorAnswer, operation_id="multivector")
async def multivector(body: shapes.Multivector, services: Shared, address: Plain) -> Response:
    """Token embeddings: a matrix for each text, in order; none for an empty one."""
    kind = kind_of(body.input_type)
    encoder = pick(services, body.model or address.model, "late_interaction")
    outcome = await encode(services, MULTIVECTOR, encoder, listed(body.input), kind, _lane(kind))
    require_all(outcome)
    return await answers.multivector(outcome, matrices(services, outcome))


async def _sparse(
    services: Services,
    method: str,
    texts: list[str],
    model: str,
    kind: Kind,
    how: Naming | None,
    *,
    uncut: bool = False,
) -> Sparse:
    """Weights of all texts; `how` None leaves ids as numbers."""
    encoder = pick(services, model, "sparse")
    spelled = names(encoder, how) if how else None
    outcome = await encode(services, method, encoder, texts, kind, _lane(kind))
    require_all(outcome, uncut=uncut)
    return await answers.sparse(outcome, kind, how or "id", spelled)


async def _ranked(
    services: Services, method: str, query: str, texts: list[str], model: str, *, uncut: bool = False
) -> Ranked:
    """Scores of all texts."""
    encoder = pick(services, model, "late_interaction")
    check_query(services, query)
    services.check_items(len(texts))
    asked = await encode(services, method, encoder, [query], "query", "query")
    documents = await read(services, method, encoder, texts)
    return answers.ranked(documents, await rank(services, asked, documents, uncut=uncut))


def _lane(kind: Kind) -> Lane:
    return "query" if kind == "query" else "ingest"
