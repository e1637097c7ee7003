"""Search: plan, first stage, rerank, page."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from sidecar.errors import ChercheError, Code, unavailable
from sidecar.observe import telemetry
from sidecar.pipeline import remarks
from sidecar.pipeline.context import Context
from sidecar.pipeline.match_set import Membership
from sidecar.pipeline.on_demand import lacking, with_codes
from sidecar.pipeline.pages import Page
from sidecar.pipeline.passages import with_passages
from sidecar.pipeline.plan import Plan, failed_open, plan
from sidecar.pipeline.query import EncodedQuery, encode_query, query_embeddings, sparse_outcome
from sidecar.pipeline.rerank import NO_TEXT, Ranked, below_window, codes_on_the_fly, first_stage, rerank
from sidecar.pipeline.weights import weights_of
from sidecar.protocols import Encoder
from sidecar.values.documents import RANK_FEATURES, Json
from sidecar.values.first_stage import EnginePage, GroupClauses, Hits, Query, SparseClause
from sidecar.values.index import IndexMeta
from sidecar.values.search import Hit, RerankOutcome, RerankStatus, SearchRequest, SearchResult, Timings

_ATTEMPTS = 4
_MOMENT = 0.2  # seconds
# Age in seconds of what a search may know of its index. Every search would otherwise ask twice before it begins. A
# written document takes as long to be found (index.refresh_interval).
FACTS_AGE = 1.0
_REORDERED = (RerankStatus.APPLIED, RerankStatus.PARTIAL)
_SHARE = 0.9  # of the time left, for the rerank: an answer without it must still arrive


@dataclass(frozen=True, slots=True)
class Trace:
    """A search with everything that explains it; `clauses` are those that the engine was sent.

    `codes` are those of the page's hits, in the engine's order, as far as they were reranked; of their texts as they
    are now where the search is `by_text`. The page's hits come after `offset` others.
    """

    result: SearchResult
    meta: IndexMeta
    query: EncodedQuery
    clauses: tuple[SparseClause, ...]
    page: EnginePage
    sparse: Encoder | None
    reranker: Encoder | None
    sparse_boost: float
    codes: Sequence[bytes | None]
    by_text: bool = False
    offset: int = 0

    def place(self, hit: Hit) -> int:
        """Which hit of the page it was: an id does not say, as other indices and routings may have it too."""
        return place_of(hit, self.offset)

    def codes_of(self, hit: Hit) -> bytes | None:
        """Codes that it was reranked by."""
        place = self.place(hit)
        return self.codes[place] if place < len(self.codes) else None


def place_of(hit: Hit, offset: int) -> int:
    """Which hit of an engine's page it was, where the page comes after `offset` others."""
    return hit.parts.first_stage_rank - 1 - offset


async def search(request: SearchRequest, context: Context) -> SearchResult:
    """Search an index.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION, UNAVAILABLE, DEADLINE_EXCEEDED. A rerank
        that fails is no error: the result keeps the first stage's order and says why. Only a page that
        continues a reranked one fails, since another order would repeat hits and lose others.
    """
    return (await trace(request, context)).result


async def trace(request: SearchRequest, context: Context, *, with_terms: bool = False) -> Trace:
    """Search, and keep what explains the hits.

    A page whose hits lie in indices that were not known when the query was encoded is thrown away: the alias
    was switched meanwhile, perhaps to another model, and the search begins again.

    Raises
    ------
    ChercheError
        As `search`; UNAVAILABLE where the name keeps changing.
    """
    for attempt in range(_ATTEMPTS):
        planned = await _planned(request, context, FACTS_AGE if attempt == 0 else 0.0)
        found = await _trace(request, planned, context, with_terms)
        if found is not None:
            return found
    raise unavailable(f"{request.index!r} was switched to other indices during each search", "search again")


async def _planned(request: SearchRequest, context: Context, max_age: float) -> Plan:
    try:
        return await plan(request, context, max_age=max_age)
    except ChercheError:
        if not max_age:
            raise
    # Perhaps only because the index was set up, or its model changed, by another process since it was asked about.
    return await plan(request, context)


async def _trace(request: SearchRequest, planned: Plan, context: Context, with_terms: bool) -> Trace | None:
    """Search as planned; None where the hits lie in other indices than it was planned for."""
    started = context.clock()
    read = replace(request, text=planned.membership.text)
    encoded, error = await encode_query(read, planned.meta, context, sparse=planned.sparse, reranker=planned.reader)
    if error is not None:
        planned = planned.without_reader(error)
    others = await _scopes(read, planned, context)
    asked = context.clock()
    ran = _membership(request, planned, encoded, others)
    query = replace(_engine_query(request, planned, encoded, context, with_terms), match_set=ran.match_set)
    query = replace(query, names=planned.own_names if others else (), others=others)
    page = await _first_stage(request, planned, query, context)
    if page is None:
        return None
    answered = context.clock()
    with telemetry.stage("rerank") if planned.reranker else nullcontext():
        page = await with_codes(page, planned, context) if planned.makes_codes else page
        ranked, codes = await _rank(page, planned, encoded, context.within(_SHARE))
    _refuse_another_order(ranked.outcome, planned)
    done = context.clock()
    token, ended = await _next_page(request, planned, page, query.size, ranked, context)
    first = planned.offset if planned.is_windowed else 0
    shown = ranked.hits[first : first + request.size]
    visible, unread = tuple(_visible(hit, request, planned) for hit in shown), tuple[str, ...]()
    if request.passages and shown:
        fetched = [page.hits[place_of(hit, query.offset)] for hit in shown]
        visible, unread = await with_passages(visible, fetched, planned, encoded, request.passages, context)
    # Clauses are in descending order of weight, and the engine leaves out the lightest.
    clauses = encoded.clauses if page.clauses is None else encoded.clauses[: page.clauses]
    result = SearchResult(
        hits=visible,
        total=page.total,
        total_is_lower_bound=page.total_is_lower_bound,
        rerank=ranked.outcome,
        fingerprint=planned.meta.fingerprint,
        timings=Timings(
            **encoded.timings, engine=answered - asked, rerank=done - answered, total=context.clock() - started
        ),
        next_page_token=token,
        aggregations=page.aggregations,
        engine_request=page.request if request.include_engine_request else None,
        warnings=(*remarks.of_search(request, planned, encoded, query, page, shown), *unread, *ended),
        query_terms=len(clauses),
        sparse=replace(sparse_outcome(encoded, planned.sparse, len(clauses)), first_terms=page.first_terms),
        match_set=ran.match_set,
        match_set_reason=ran.reason,
    )
    return Trace(
        result,
        planned.meta,
        encoded,
        clauses,
        page,
        planned.sparse,
        planned.reranker,
        planned.boost,
        codes,
        planned.by_text,
        query.offset,
    )


async def _first_stage(request: SearchRequest, planned: Plan, query: Query, context: Context) -> EnginePage | None:
    """The engine's page; None where its hits lie in other indices than the search was planned for."""
    try:
        with telemetry.stage("engine"):
            page = await context.engine.search(request.index, query)
    except ChercheError:
        # An index that a switch deleted after the query was encoded fails the search.
        if await _is_other_now(request, planned, context):
            return None
        raise
    elsewhere = planned.sparse is not None and not set(page.indices) <= set(planned.names)
    # A later page reads the indices of its point in time, whatever the name stands for now.
    if not planned.page and (elsewhere or (page.partial and await _is_other_now(request, planned, context))):
        if page.pit:
            await context.engine.close_pit(page.pit)
        return None
    return page


def _membership(
    request: SearchRequest, planned: Plan, encoded: EncodedQuery, others: tuple[GroupClauses, ...]
) -> Membership:
    """As planned, unless there is no term weight that could find a hit."""
    expanded = encoded.clauses or any(other.clauses for other in others)
    if expanded or request.mode != "hybrid" or planned.membership.match_set == "none":
        return planned.membership
    return replace(planned.membership, match_set="lexical", reason="no term weights were added")


async def _is_other_now(request: SearchRequest, planned: Plan, context: Context) -> bool:
    """Whether the name stands for other indices than those that the search was planned for.

    A node drops the shards of a deleted index a moment before it says so, so an unchanged name is looked up again.
    """
    for pause in () if planned.page else (0.0, _MOMENT):
        await context.sleep(pause)
        now = {name for group in await context.engine.groups(request.index) for name in group.names}
        if now != set(planned.names):
            return True
    return False


async def _scopes(request: SearchRequest, planned: Plan, context: Context) -> tuple[GroupClauses, ...]:
    """The query's terms for the indices of other models: one pass for each."""
    scopes = []
    for group, encoder in planned.others:
        if group.meta is not None:
            encoded, _ = await encode_query(request, group.meta, context, sparse=encoder, reranker=None)
            scopes.append(GroupClauses(group.names, encoded.clauses))
    return tuple(scopes)


def _engine_query(
    request: SearchRequest, planned: Plan, encoded: EncodedQuery, context: Context, with_terms: bool
) -> Query:
    windowed = planned.is_windowed
    fetched = request.source_fields
    if _reads_texts(request, planned) and fetched:
        fetched = tuple(dict.fromkeys((*fetched, *(field.name for field in planned.meta.fields))))
    return Query(
        text=request.text,
        mode="bm25" if encoded.unknown_language or planned.membership.match_set == "none" else request.mode,
        fields=planned.meta.fields,
        clauses=encoded.clauses,
        sparse_boost=planned.boost,
        fusion=request.fusion,
        rank_constant=request.rank_constant,
        fusion_window=min(request.fusion_window, planned.limit),
        size=max(planned.window, planned.offset + request.size) if windowed else request.size,
        # Whichever page is shown, all hits of the window are ranked.
        offset=0 if windowed else planned.offset,
        body=request.body,
        source_fields=fetched,
        with_terms=with_terms,
        with_codes=planned.reader is not None and planned.has_codes,
        with_state=planned.is_set_up and bool(request.size),
        codes_optional=planned.makes_codes,
        pit=planned.page.pit if planned.page else "",
        keep_pit=request.paginate,
        timeout=context.remaining(),
        first_terms=planned.phases.terms,
        candidates=planned.phases.candidates,
        weights=weights_of(planned.groups) if planned.sparse is not None else RANK_FEATURES,
    )


async def _rank(
    page: EnginePage, planned: Plan, encoded: EncodedQuery, context: Context
) -> tuple[Ranked, Sequence[bytes | None]]:
    """Hits in final order, and the codes they were reranked by."""
    if planned.reranker is None:
        outcome = planned.skipped or RerankOutcome()
        place = below_window if planned.is_below_window else first_stage
        return Ranked(place(page.hits, planned.offset), _counted(outcome, page, planned)), ()
    embeddings = query_embeddings(encoded, planned.reranker)
    if isinstance(embeddings, RerankOutcome):
        return Ranked(first_stage(page.hits), _counted(embeddings, page, planned)), ()
    try:
        if planned.has_codes:
            codes = Hits.of(page.hits).codes[: planned.window]
        else:
            codes = await codes_on_the_fly(page.hits[: planned.window], planned.reranker, planned.meta, context)
    except ChercheError as error:
        return Ranked(first_stage(page.hits), _counted(failed_open(error), page, planned)), ()
    ranked = await rerank(
        page.hits,
        embeddings,
        context,
        window=planned.window,
        weight=planned.weight,
        codes=codes,
        lacking=lacking(planned, context) if planned.has_codes else NO_TEXT,
    )
    return ranked, codes


def _counted(outcome: RerankOutcome, page: EnginePage, planned: Plan) -> RerankOutcome:
    """An outcome without a rerank, with the window that it would have had."""
    if outcome.status == RerankStatus.NOT_REQUESTED:
        return outcome
    found = len(page.hits) if planned.is_windowed else planned.window
    return replace(outcome, window=min(planned.window, found), weight=planned.weight)


def _refuse_another_order(outcome: RerankOutcome, planned: Plan) -> None:
    """A page inside the window of a reranked search must follow the same order as those before it.

    Raises
    ------
    ChercheError
        DEADLINE_EXCEEDED or UNAVAILABLE: the token stays good.
    """
    page = planned.page
    if page is None or not page.reranked or planned.offset >= planned.window or outcome.status in _REORDERED:
        return
    code = Code.DEADLINE_EXCEEDED if outcome.status == RerankStatus.DEADLINE else Code.UNAVAILABLE
    raise ChercheError(
        code, f"this page could not be reranked as those before it: {outcome.reason}", "ask for it again"
    )


def _reads_texts(request: SearchRequest, planned: Plan) -> bool:
    """Whether the hits' texts are needed here, whatever of them is returned."""
    return planned.reader is not None and (bool(request.passages) or not planned.has_codes or planned.makes_codes)


def _visible(hit: Hit, request: SearchRequest, planned: Plan) -> Hit:
    """Take back the text fields that only the rerank, or passages, needed."""
    if not request.source_fields or not _reads_texts(request, planned):
        return hit
    own = {field.name for field in planned.meta.fields if not _asked_for(field.name, request)}
    source: Json = {key: value for key, value in hit.source.items() if key not in own}
    return replace(hit, source=source)


def _asked_for(name: str, request: SearchRequest) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in request.source_fields)


async def _next_page(
    request: SearchRequest, planned: Plan, page: EnginePage, asked: int, ranked: Ranked, context: Context
) -> tuple[str, tuple[str, ...]]:
    """The token of the next page, and a warning where there could be one and is not.

    At the end the point in time is given back.
    """
    if not page.pit:
        return "", ()
    after, limit = planned.offset + request.size, planned.limit
    is_full = len(page.hits) >= asked and (page.total_is_lower_bound or page.total > after)
    more = is_full or (planned.is_windowed and len(page.hits) > after)
    if not more or after + request.size > limit:
        await context.engine.close_pit(page.pit)
        return "", (f"there are more hits, but pages end at hit {limit:,}",) if more else ()
    token = Page(
        page.pit,
        after,
        planned.query_hash,
        planned.fingerprint,
        planned.weight,
        planned.window,
        planned.page.reranked if planned.page else ranked.outcome.status in _REORDERED,
    )
    return context.signer.write(token), ()
