"""The same stages without an engine: for a plugin that reads and writes the index itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from cherche_models.types import TokenEmbeddings
from sidecar.errors import ChercheError, Code, precondition
from sidecar.pipeline import stored
from sidecar.pipeline.context import Context
from sidecar.pipeline.encode import DocumentEncoder
from sidecar.pipeline.fingerprint import codes_encoder, sparse_encoder
from sidecar.pipeline.passages import Source, find_passages
from sidecar.pipeline.plan import failed_open, late_encoder
from sidecar.pipeline.query import EncodedQuery, check, encode_query, query_embeddings, sparse_outcome
from sidecar.pipeline.rerank import Ranked, rerank
from sidecar.pipeline.stored import EncodableDocument, EncodedDocument
from sidecar.pipeline.text import parse
from sidecar.protocols import Encoder
from sidecar.values.documents import SourceDocument, StoredDocument
from sidecar.values.first_stage import EngineHit
from sidecar.values.index import IndexMeta
from sidecar.values.passages import Passage, PassageOptions
from sidecar.values.search import RerankOutcome, RerankStatus, SearchRequest, SparseOutcome

_SHARE = 0.9  # of the time left, for passages: an answer without those of the last hits must still arrive


@dataclass(frozen=True, slots=True)
class PreparedQuery:
    """An encoded query; `unreranked` says why it has no embeddings where they were requested."""

    encoded: EncodedQuery
    boost: float
    sparse: SparseOutcome
    unreranked: RerankOutcome | None = None


async def prepare_documents(
    documents: Sequence[SourceDocument], known: Sequence[StoredDocument], encoder: DocumentEncoder, context: Context
) -> list[EncodedDocument | ChercheError]:
    """What `ingest` would store beside documents, without features by name; one result each, in order.

    A document with the hash that is known keeps its known terms, without a model.

    Parameters
    ----------
    known : sequence of StoredDocument
        What the caller says the index holds; see `known_document`.

    Raises
    ------
    ChercheError
        RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED, UNAVAILABLE of the models.
    """
    meta, limit = encoder.meta, context.limits.document_bytes
    read = await asyncio.to_thread(lambda: [stored.from_json(document, meta, limit) for document in documents])
    results: dict[int, EncodedDocument | ChercheError] = {}
    fresh: dict[int, EncodableDocument] = {}
    for place, (one, held) in enumerate(zip(read, known, strict=True)):
        if isinstance(one, ChercheError):
            results[place] = one
        elif (weights := stored.judge(one, held, meta).weights) is not None:
            results[place] = stored.reuse(one, held, weights, names=None)
        else:
            fresh[place] = one
    encoded = await stored.encode(list(fresh.values()), encoder, None, context, lane="ingest")
    results |= zip(fresh, encoded, strict=True)
    return [results[place] for place in range(len(documents))]


def known_document(id: str, hash: str = "", terms: bytes = b"") -> StoredDocument:
    """A document of which the caller knows hash and packed terms, and keeps the codes itself."""
    return StoredDocument(id, {}, hash, terms=terms or None, is_complete=bool(terms))


async def prepare_query(request: SearchRequest, meta: IndexMeta, context: Context) -> PreparedQuery:
    """The sparse clauses of a query, and its embeddings where `request.rerank` is set.

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
        found = query_embeddings(encoded, reranker)
        unreranked = found if isinstance(found, RerankOutcome) else None
    return PreparedQuery(encoded, boost, sparse_outcome(encoded, sparse, len(encoded.clauses)), unreranked)


async def rerank_hits(hits: Sequence[EngineHit], query: TokenEmbeddings, weight: float, context: Context) -> Ranked:
    """Reorder a whole window by its stored codes."""
    codes = [hit.codes for hit in hits]
    return await rerank(hits, query, context, window=len(hits), weight=weight, codes=codes)


@dataclass(frozen=True, slots=True)
class PassagesFound:
    """Passages of each hit, warnings of those that have none, and the query's timings."""

    hits: list[tuple[Passage, ...]]
    warnings: tuple[str, ...]
    encoded: EncodedQuery


@dataclass(frozen=True, slots=True)
class HitText:
    """A hit as a caller holds it: encoded fields as JSON, and what the index stores of them, "" and None if unknown."""

    document: SourceDocument
    hash: str = ""
    codes: bytes | None = None


async def passages_of_hits(
    hits: Sequence[HitText], text: str, wanted: PassageOptions, meta: IndexMeta, context: Context
) -> PassagesFound:
    """The passages of hits that a caller shows, as a search would return them.

    A hit that cannot be read, or has no passages, costs no other its own: a warning says why.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for an empty query and for options out of bounds; of the model that reads the query.
    """
    asked = SearchRequest("", text, rerank=True)
    check(asked, context)
    wanted.check(field.name for field in meta.fields)
    reader, unread = late_encoder(asked, meta, True, context)
    if reader is None:
        reason = unread.reason if unread else ""
        return PassagesFound([()] * len(hits), (f"no passages: {reason}",), EncodedQuery())
    encoded, error = await encode_query(asked, meta, context, sparse=None, reranker=reader)
    if error is not None:
        raise error
    read = await asyncio.to_thread(lambda: [_read(one, context.limits.document_bytes) for one in hits])
    source = Source(reader, meta, bool(meta.fingerprint.codes))
    readable = [one for one in read if isinstance(one, EngineHit)]
    found, warnings = await find_passages(readable, encoded, source, wanted, context.within(_SHARE))
    rest = iter(found)
    passages = [next(rest) if isinstance(one, EngineHit) else () for one in read]
    unreadable = (f"no passages: {one}" for one in read if isinstance(one, ChercheError))
    return PassagesFound(passages, (*warnings, *unreadable), encoded)


def _read(hit: HitText, limit: int) -> EngineHit | ChercheError:
    id = hit.document.id
    try:
        source = parse(hit.document, limit)
    except ChercheError as error:
        return error
    return EngineHit(id, 0.0, source=source, codes=hit.codes, held=StoredDocument(id, {}, hit.hash))


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
