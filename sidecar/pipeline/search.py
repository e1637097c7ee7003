"""A query in, a page of hits with their reasons out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sidecar.errors import ChercheError, Code, invalid, precondition
from sidecar.pipeline.context import Context
from sidecar.pipeline.fingerprint import codes_encoder, sha256_of, sparse_encoder
from sidecar.pipeline.membership import check_body, is_sorted, match_set_of
from sidecar.pipeline.pages import Page
from sidecar.pipeline.query import EncodedQuery, check, encode_query
from sidecar.pipeline.rerank import Ranked, codes_on_the_fly, first_stage, rerank
from sidecar.protocols import Encoder
from sidecar.types import (
    EnginePage,
    Fingerprint,
    Hit,
    IndexMeta,
    Json,
    Query,
    RerankOutcome,
    RerankStatus,
    SearchRequest,
    SearchResult,
    TextField,
    Timings,
)

_FAILS_OPEN = {
    Code.DEADLINE_EXCEEDED: RerankStatus.DEADLINE,
    Code.UNAVAILABLE: RerankStatus.UNAVAILABLE,
    Code.RESOURCE_EXHAUSTED: RerankStatus.UNAVAILABLE,
    Code.FAILED_PRECONDITION: RerankStatus.UNAVAILABLE,
    Code.NOT_FOUND: RerankStatus.UNAVAILABLE,
    Code.INTERNAL: RerankStatus.UNAVAILABLE,
}


@dataclass(frozen=True, slots=True)
class Trace:
    """A search with everything that explains it."""

    result: SearchResult
    meta: IndexMeta
    query: EncodedQuery
    page: EnginePage
    sparse: Encoder | None
    reranker: Encoder | None
    sparse_boost: float
    codes: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a search will do, decided before anything is asked of the engine."""

    meta: IndexMeta
    is_set_up: bool
    page: Page | None
    offset: int
    window: int
    weight: float
    boost: float
    sparse: Encoder | None
    reranker: Encoder | None
    skipped: RerankOutcome | None


async def search(request: SearchRequest, context: Context) -> SearchResult:
    """Search an index.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION, UNAVAILABLE, DEADLINE_EXCEEDED. A rerank
        that fails is no error: the result keeps the first stage's order and says why.
    """
    return (await trace(request, context)).result


async def trace(request: SearchRequest, context: Context, *, with_terms: bool = False) -> Trace:
    """Search, and keep what explains the hits."""
    started = context.clock()
    check(request, context)
    check_body(request.body)
    plan = await _plan(request, context)
    encoded, plan = await _encode(request, plan, context)
    asked = context.clock()
    page = await context.engine.search(request.index, _engine_query(request, plan, encoded, context, with_terms))
    answered = context.clock()
    ranked, codes = await _rank(page, plan, encoded, context)
    done = context.clock()
    token = await _next_page(request, plan, page, len(ranked.hits), context)
    shown = ranked.hits[plan.offset : plan.offset + request.size] if _is_windowed(plan) else ranked.hits
    result = SearchResult(
        hits=tuple(_visible(hit, request, plan) for hit in shown),
        total=page.total,
        total_is_lower_bound=page.total_is_lower_bound,
        rerank=ranked.outcome,
        fingerprint=plan.meta.fingerprint,
        timings=Timings(
            **encoded.timings,
            engine=answered - asked,
            rerank=done - answered,
            total=context.clock() - started,
        ),
        next_page_token=token,
        aggregations=page.aggregations,
        engine_request=page.request if request.include_engine_request else None,
        warnings=(*encoded.warnings, *page.warnings),
        query_terms=len(encoded.clauses),
    )
    return Trace(result, plan.meta, encoded, page, plan.sparse, plan.reranker, plan.boost, codes)


async def _plan(request: SearchRequest, context: Context) -> _Plan:
    stored = await context.engine.meta(request.index)
    if stored is None and request.mode != "bm25":
        raise precondition(
            f"index {request.index!r} has no term weights",
            f"run: cherche setup {request.index} — or search with mode bm25",
        )
    meta = stored or _bare_meta(request, context)
    page = _read_page(request, meta, context)
    window = page.window if page else request.rerank_window or meta.rerank_window
    weight = page.weight if page else meta.rerank_weight if request.rerank_weight is None else request.rerank_weight
    offset = page.offset if page else 0
    deepest = max(offset + request.size, window if request.rerank else 0)
    if deepest > context.limits.window:
        raise invalid(f"this asks for hit {deepest:,}, the limit is {context.limits.window:,}", "narrow the search")
    sparse = sparse_encoder(meta, context.encoders) if request.mode != "bm25" else None
    skipped = _skipped(request, offset, window)
    reranker = None
    if skipped is None:
        reranker, skipped = _reranker(request, meta, stored is not None, context)
    return _Plan(
        meta=meta,
        is_set_up=stored is not None,
        page=page,
        offset=offset,
        window=window,
        weight=weight,
        boost=request.sparse_boost or meta.sparse_boost,
        sparse=sparse,
        reranker=reranker,
        skipped=skipped,
    )


def _bare_meta(request: SearchRequest, context: Context) -> IndexMeta:
    """What stands in for the settings of an index that was never set up."""
    fields = tuple(TextField(name) for name in request.fields or ("title", "text"))
    weight = context.encoders.named(request.model).info.rerank_weight if request.rerank else 0.5
    return IndexMeta(
        model=request.model,
        fingerprint=Fingerprint(""),
        fields=fields,
        max_length=0,
        codec="none",
        rerank_weight=weight,
    )


def _skipped(request: SearchRequest, offset: int, window: int) -> RerankOutcome | None:
    """Why no rerank is tried, where none is."""
    if not request.rerank:
        return RerankOutcome()
    if is_sorted(request.body):
        return RerankOutcome(RerankStatus.SKIPPED_SORT, "the search asks for another order than the score's")
    if offset >= window:
        return RerankOutcome(RerankStatus.OUTSIDE_WINDOW, f"this page starts below the window of {window} hits")
    return None


def _reranker(
    request: SearchRequest, meta: IndexMeta, is_set_up: bool, context: Context
) -> tuple[Encoder | None, RerankOutcome | None]:
    try:
        if meta.fingerprint.codes:
            return codes_encoder(meta, context.encoders), None
        encoder = context.encoders.named(meta.reranker or meta.model if is_set_up else request.model)
    except ChercheError as error:
        return None, RerankOutcome(_FAILS_OPEN.get(error.code, RerankStatus.UNAVAILABLE), str(error))
    if not encoder.info.late_interaction:
        reason = f"model {encoder.info.name!r} has no late-interaction head; set the index up with --reranker"
        return None, RerankOutcome(RerankStatus.UNAVAILABLE, reason)
    return encoder, None


async def _encode(request: SearchRequest, plan: _Plan, context: Context) -> tuple[EncodedQuery, _Plan]:
    """Encode the query; a reranker of its own that fails only costs the rerank."""
    shared = plan.reranker is None or plan.reranker is plan.sparse
    if shared:
        encoded = await encode_query(request, plan.meta, context, sparse=plan.sparse, reranker=plan.reranker)
        return encoded, plan
    first = await encode_query(request, plan.meta, context, sparse=plan.sparse, reranker=None)
    try:
        late = await encode_query(request, plan.meta, context, sparse=None, reranker=plan.reranker)
    except ChercheError as error:
        outcome = RerankOutcome(_FAILS_OPEN.get(error.code, RerankStatus.UNAVAILABLE), str(error))
        return first, replace(plan, reranker=None, skipped=outcome)
    timings = {stage: first.timings.get(stage, 0.0) + seconds for stage, seconds in late.timings.items()}
    both = replace(
        first,
        embeddings=late.embeddings,
        tokens=late.tokens,
        timings=timings,
        warnings=first.warnings or late.warnings,
    )
    return both, plan


def _is_windowed(plan: _Plan) -> bool:
    """Whether the engine was asked for the whole window rather than for one page."""
    return plan.reranker is not None


def _engine_query(
    request: SearchRequest, plan: _Plan, encoded: EncodedQuery, context: Context, with_terms: bool
) -> Query:
    windowed = _is_windowed(plan)
    stored_codes = windowed and bool(plan.meta.fingerprint.codes)
    fetched = request.source_fields
    if windowed and not stored_codes and fetched:
        fetched = tuple(dict.fromkeys((*fetched, *(field.name for field in plan.meta.fields))))
    return Query(
        text=request.text,
        mode=request.mode,
        fields=plan.meta.fields,
        match_set=match_set_of(request.match_set, request.body),
        clauses=encoded.clauses,
        sparse_boost=plan.boost,
        size=max(plan.window, plan.offset + request.size) if windowed else request.size,
        offset=0 if windowed else plan.offset,
        body=request.body,
        source_fields=fetched,
        with_terms=with_terms,
        with_codes=stored_codes,
        pit=plan.page.pit if plan.page else "",
        keep_pit=request.paginate,
        timeout=context.remaining(),
    )


async def _rank(
    page: EnginePage, plan: _Plan, encoded: EncodedQuery, context: Context
) -> tuple[Ranked, Mapping[str, bytes]]:
    if plan.reranker is None or encoded.embeddings is None:
        outcome = plan.skipped or RerankOutcome(RerankStatus.UNAVAILABLE, "the reranker gave no query embeddings")
        return Ranked(first_stage(page.hits, 0 if plan.reranker else plan.offset), outcome), {}
    inside = page.hits[: plan.window]
    try:
        if plan.meta.fingerprint.codes:
            codes = [hit.codes for hit in inside]
        else:
            codes = await codes_on_the_fly(inside, plan.reranker, plan.meta, context)
    except ChercheError as error:
        status = _FAILS_OPEN.get(error.code, RerankStatus.UNAVAILABLE)
        return Ranked(first_stage(page.hits), RerankOutcome(status, str(error), len(inside))), {}
    ranked = await rerank(page.hits, encoded.embeddings, context, window=plan.window, weight=plan.weight, codes=codes)
    known = {hit.id: data for hit, data in zip(inside, codes, strict=True) if data is not None}
    return ranked, known


def _visible(hit: Hit, request: SearchRequest, plan: _Plan) -> Hit:
    """Take back the text fields that only the rerank needed."""
    if not request.source_fields or plan.meta.fingerprint.codes:
        return hit
    own = {field.name for field in plan.meta.fields} - set(request.source_fields)
    source: Json = {key: value for key, value in hit.source.items() if key not in own}
    return replace(hit, source=source)


def _query_hash(request: SearchRequest) -> str:
    return sha256_of(
        [
            request.index,
            request.text,
            request.mode,
            request.query_mode,
            request.match_set,
            request.query_terms,
            request.rerank,
            request.sparse_boost,
            request.body,
            request.model,
            list(request.fields),
        ]
    )


def _read_page(request: SearchRequest, meta: IndexMeta, context: Context) -> Page | None:
    if not request.page_token:
        return None
    page = context.signer.read(request.page_token)
    if page.query != _query_hash(request):
        raise invalid("the page token belongs to another search", "repeat the search it came from, or drop it")
    if page.fingerprint != meta.fingerprint.sparse:
        raise precondition("the page token expired: the index was set up anew since", "search again without it")
    return page


async def _next_page(request: SearchRequest, plan: _Plan, page: EnginePage, fetched: int, context: Context) -> str:
    """The token of the next page; at the end the point in time is given back."""
    if not page.pit:
        return ""
    after = plan.offset + request.size
    more = fetched > after if _is_windowed(plan) else fetched == request.size
    more = more or (page.total > after and fetched > 0)
    if not more or after >= context.limits.window:
        await context.engine.close_pit(page.pit)
        return ""
    token = Page(page.pit, after, _query_hash(request), plan.meta.fingerprint.sparse, plan.weight, plan.window)
    return context.signer.write(token)
