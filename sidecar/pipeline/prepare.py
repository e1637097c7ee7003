"""The same stages without an engine: for a plugin that reads and writes the index itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from cherche_models import codec
from cherche_models.types import TermWeights, TokenEmbeddings
from sidecar.errors import ChercheError, Code, precondition
from sidecar.pipeline import text as texts_of
from sidecar.pipeline.context import Context
from sidecar.pipeline.encode import DocumentEncoder
from sidecar.pipeline.fingerprint import codes_encoder, sparse_encoder
from sidecar.pipeline.plan import failed_open
from sidecar.pipeline.query import EncodedQuery, check, encode_query, late_part, sparse_outcome
from sidecar.pipeline.rerank import Ranked, rerank
from sidecar.protocols import Encoder
from sidecar.values.documents import SourceDocument
from sidecar.values.index import IndexMeta
from sidecar.values.search import EngineHit, RerankOutcome, RerankStatus, SearchRequest, SparseOutcome


@dataclass(frozen=True, slots=True)
class Known:
    """What the index holds of a document: its hash and packed terms."""

    hash: str = ""
    terms: bytes = b""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is stored beside a document; `codes` is None where the index has none, or where `reused`."""

    hash: str
    weights: TermWeights
    terms: bytes
    codes: bytes | None
    reused: bool = False
    truncated: bool = False
    tokens: int = 0
    unknown_language: bool = False


@dataclass(frozen=True, slots=True)
class PreparedQuery:
    """An encoded query; `unreranked` says why it has no embeddings where they were asked for."""

    encoded: EncodedQuery
    boost: float
    sparse: SparseOutcome
    unreranked: RerankOutcome | None = None


@dataclass(frozen=True, slots=True)
class _Text:
    texts: tuple[str, ...]
    hash: str


async def prepare_documents(
    documents: Sequence[SourceDocument], known: Sequence[Known], encoder: DocumentEncoder, context: Context
) -> list[Prepared | ChercheError]:
    """What `ingest` would store beside documents; one result each, in order.

    A document whose hash is the known one keeps its known terms, without a model.

    Raises
    ------
    ChercheError
        RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED, UNAVAILABLE of the models.
    """
    parsed = await asyncio.to_thread(lambda: [_parse(document, encoder, context) for document in documents])
    results: list[Prepared | ChercheError | None] = [None] * len(documents)
    fresh: dict[int, _Text] = {}
    for place, (one, before) in enumerate(zip(parsed, known, strict=True)):
        if isinstance(one, ChercheError):
            results[place] = one
        elif (kept := _kept(one, before)) is not None:
            results[place] = kept
        else:
            fresh[place] = one
    parts = await encoder.encode([one.texts for one in fresh.values()], context, lane="ingest")
    for (place, one), part in zip(fresh.items(), parts, strict=True):
        if isinstance(part, ChercheError):
            results[place] = part
        else:
            terms = codec.pack_terms(part.weights)
            results[place] = Prepared(
                one.hash,
                part.weights,
                terms,
                part.codes,
                truncated=part.truncated,
                tokens=part.tokens,
                unknown_language=part.unknown_language,
            )
    return [result for result in results if result is not None]


async def prepare_query(request: SearchRequest, meta: IndexMeta, context: Context) -> PreparedQuery:
    """The sparse clauses of a query, and its embeddings where `request.rerank` asks for them.

    A reranker that cannot be used costs the embeddings only, and `unreranked` says why.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT, FAILED_PRECONDITION, UNAVAILABLE, DEADLINE_EXCEEDED.
    """
    check(request, context)
    sparse = sparse_encoder(meta, context.encoders)
    if request.query_mode == "doc_only":
        await _check_table(sparse, request.text)
    reranker, unreranked = _reranker(meta, context) if request.rerank else (None, None)
    encoded, error = await encode_query(request, meta, context, sparse=sparse, reranker=reranker)
    boost = meta.sparse_boost if request.sparse_boost is None else request.sparse_boost
    if error is not None:
        unreranked = failed_open(error)
    elif reranker is not None:
        found = late_part(encoded, reranker)
        unreranked = found if isinstance(found, RerankOutcome) else None
    return PreparedQuery(encoded, boost, sparse_outcome(encoded, sparse, len(encoded.clauses)), unreranked)


async def rerank_hits(hits: Sequence[EngineHit], query: TokenEmbeddings, weight: float, context: Context) -> Ranked:
    """Reorder a whole window by its stored codes."""
    codes = [hit.codes for hit in hits]
    return await rerank(hits, query, context, window=len(hits), weight=weight, codes=codes)


def _parse(document: SourceDocument, encoder: DocumentEncoder, context: Context) -> _Text | ChercheError:
    meta = encoder.meta
    try:
        source = texts_of.parse(document, context.limits.document_bytes)
        texts = texts_of.field_texts(f"document {document.id!r}", source, meta.fields)
    except ChercheError as error:
        return error
    return _Text(tuple(texts), texts_of.content_hash(texts, meta.fields, meta.fingerprint))


def _kept(one: _Text, known: Known) -> Prepared | None:
    if known.hash != one.hash or not known.terms:
        return None
    try:
        weights = codec.unpack_terms(known.terms)
    except codec.CodecError:
        return None
    return Prepared(one.hash, weights, known.terms, None, reused=True)


async def _check_table(encoder: Encoder, text: str) -> None:
    [tokens] = await encoder.tokenize([text], "query")
    if encoder.idf(tokens) is None:
        raise precondition(
            f"model {encoder.info.name!r} brings no idf table", "use the query mode full or pruned in this pipeline"
        )


def _reranker(meta: IndexMeta, context: Context) -> tuple[Encoder | None, RerankOutcome | None]:
    if not meta.fingerprint.codes:
        reason = "the index stores no token codes: set it up with a reranker"
        return None, RerankOutcome(RerankStatus.CODES_MISSING, reason)
    try:
        return codes_encoder(meta, context.encoders), None
    except ChercheError as error:
        if error.code not in (Code.FAILED_PRECONDITION, Code.UNAVAILABLE):
            raise
        return None, RerankOutcome(RerankStatus.UNAVAILABLE, str(error))
