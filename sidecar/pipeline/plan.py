"""Plan a search before a model or the engine runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sidecar.errors import ChercheError, Code, invalid, precondition
from sidecar.pipeline.context import Context
from sidecar.pipeline.fingerprint import codes_encoder, sha256_of, sparse_encoder
from sidecar.pipeline.match_set import Membership, decide
from sidecar.pipeline.membership import check_body, check_fusion, is_sorted
from sidecar.pipeline.pages import Page
from sidecar.pipeline.phases import ONE_PHASE, Phases
from sidecar.pipeline.phases import decide as decide_phases
from sidecar.pipeline.query import check, check_depth, check_text, limit_of
from sidecar.pipeline.weights import ends_with_candidates
from sidecar.protocols import Encoder
from sidecar.values.index import DEFAULT_FIELDS, NO_CODES, Fingerprint, IndexGroup, IndexMeta, TextField
from sidecar.values.limits import DEEPEST_HIT
from sidecar.values.options import options
from sidecar.values.search import TEXT_SLOT, RerankOutcome, RerankStatus, SearchRequest

_FAILS_OPEN = {Code.DEADLINE_EXCEEDED: RerankStatus.DEADLINE}


@dataclass(frozen=True, slots=True)
class Plan:
    """A planned search.

    Attributes
    ----------
    meta : IndexMeta
        The index's settings, or defaults for an index without any.
    page : Page or None
        Where the page before ended.
    offset, window : int
        First hit of the page, from 0; hits that are reranked.
    weight, boost : float
        Share of MaxSim; factor of the sparse clause.
    sparse, reranker : Encoder or None
        None where that stage does not run.
    skipped : RerankOutcome or None
        Why there is no reranker.
    query_hash : str
        Of every option that changes the order of hits; "" where no page follows another.
    membership : Membership
        The text that is encoded, and the match set.
    groups : tuple of IndexGroup
        The concrete indices behind the name; `meta` is that of the first that is set up.
    others : tuple of (IndexGroup, Encoder)
        Those of other models, whose weights the query is encoded for as well.
    by_text : bool
        The caller names a reranker, which reads the hits' texts whatever codes the index stores.
    limit : int
        Deepest hit that a search may reach.
    warnings : tuple of str
        What the limit cut off.
    reader : Encoder or None
        The late-interaction model that the query's tokens are encoded for: to rerank, to find passages, or both.
    unread : str
        Why there is none, though passages are asked for.
    phases : Phases
        Whether few terms find candidates that all of them score.
    """

    meta: IndexMeta
    page: Page | None
    offset: int
    window: int
    weight: float
    boost: float
    sparse: Encoder | None
    reranker: Encoder | None
    skipped: RerankOutcome | None
    query_hash: str
    membership: Membership
    groups: tuple[IndexGroup, ...] = ()
    others: tuple[tuple[IndexGroup, Encoder], ...] = ()
    by_text: bool = False
    limit: int = DEEPEST_HIT
    warnings: tuple[str, ...] = ()
    reader: Encoder | None = None
    unread: str = ""
    phases: Phases = ONE_PHASE

    @property
    def is_windowed(self) -> bool:
        """Whether the engine returns the whole window rather than one page."""
        return self.reranker is not None

    @property
    def is_set_up(self) -> bool:
        """Whether any of the indices is encoded."""
        return any(group.meta is not None for group in self.groups)

    @property
    def is_below_window(self) -> bool:
        """Whether all hits of the page stand below those that earlier pages reranked."""
        return self.page is not None and self.page.reranked and self.offset >= self.window

    @property
    def has_codes(self) -> bool:
        """Whether the index stores token codes of the reranker."""
        return bool(self.meta.fingerprint.codes) and not self.by_text

    @property
    def makes_codes(self) -> bool:
        """Whether hits without codes get them, as some index makes them on demand."""
        return self.has_codes and any(group.meta is not None and group.meta.makes_codes for group in self.groups)

    @property
    def names(self) -> tuple[str, ...]:
        """The concrete indices that this was decided for."""
        return tuple(name for group in self.groups for name in group.names)

    @property
    def own_names(self) -> tuple[str, ...]:
        """Those that are encoded as `meta` says."""
        return tuple(
            name for group in self.groups if _encoding(group.meta) == _encoding(self.meta) for name in group.names
        )

    def without_reader(self, error: ChercheError) -> Plan:
        """What is left to do where the query could not be encoded for MaxSim."""
        skipped = failed_open(error) if self.reranker is not None else self.skipped
        return replace(self, reranker=None, skipped=skipped, reader=None, unread=str(error))

    @property
    def fingerprint(self) -> str:
        """Of all groups, for a page token."""
        return _fingerprint(self.groups, self.meta)


async def plan(request: SearchRequest, context: Context, *, max_age: float = 0.0) -> Plan:
    """Plan a search, by what the engine said of the index within the last `max_age` seconds.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION; UNAVAILABLE while a model loads. Whatever keeps
        only the rerank from running is no error: `skipped` says it.
    """
    check(request, context)
    check_body(request.body)
    check_fusion(request)
    groups = await context.engine.groups(request.index, max_age=max_age)
    stored = next((group.meta for group in groups if group.meta is not None), None)
    if stored is None and request.mode != "bm25":
        raise precondition(
            f"index {request.index!r} has no term weights",
            f"run: cherche setup {request.index} — or search with mode bm25",
        )
    meta = stored or _bare_meta(request)
    boost = meta.sparse_boost if request.sparse_boost is None else request.sparse_boost
    page = _read_page(request, _fingerprint(groups, meta), context)
    # From the token where there is one: all pages of a search are ranked with the same window and weight.
    limit, warnings = limit_of(request, groups, meta, context)
    window = page.window if page else min(request.rerank_window or meta.rerank_window, limit)
    offset = page.offset if page else 0
    deepest = offset + request.size
    membership = _membership(request, groups, meta)
    phases = decide_phases(
        request,
        meta,
        membership,
        window=window if request.rerank else 0,
        deepest=deepest,
        several=len({_encoding(group.meta) for group in groups if group.meta is not None}) > 1,
    )
    query_hash = order_hash(request, meta, boost, phases) if request.paginate or page is not None else ""
    if page is not None and page.query != query_hash:
        raise invalid("the page token belongs to another search", "repeat the search it came from, or drop it")
    check_depth(request, deepest, limit, context)
    is_expanded = request.mode != "bm25" and membership.match_set != "none"
    if phases.terms or (is_expanded and ends_with_candidates(request, meta)):
        limit = min(limit, max(phases.candidates, deepest))
    if phases.reason and request.first_terms:
        warnings = (*warnings, f"all terms found hits, not the {request.first_terms} heaviest: {phases.reason}")
    check(replace(request, text=membership.text), context)
    check_text(request, membership.text)
    sparse = sparse_encoder(meta, context.encoders) if is_expanded else None
    reranker, skipped, reader, unread = _readers(
        request, _skipped(request, page, offset, window), groups, meta, context
    )
    return Plan(
        meta=meta,
        page=page,
        offset=offset,
        window=window,
        weight=page.weight if page else _weight(request, stored, reranker),
        boost=boost,
        sparse=sparse,
        reranker=reranker,
        skipped=skipped,
        query_hash=query_hash,
        membership=membership,
        groups=groups,
        others=() if sparse is None else _others(groups, meta, context),
        by_text=bool(request.reranker),
        limit=limit,
        warnings=warnings,
        reader=reader,
        unread=unread,
        phases=phases,
    )


def _readers(
    request: SearchRequest,
    skipped: RerankOutcome | None,
    groups: Sequence[IndexGroup],
    meta: IndexMeta,
    context: Context,
) -> tuple[Encoder | None, RerankOutcome | None, Encoder | None, str]:
    """The model that reranks, or why none does; the model that the query's tokens are encoded for, or why they are not.

    Parameters
    ----------
    skipped : RerankOutcome or None
        Why no rerank is tried, where none is.
    """
    is_set_up = any(group.meta is not None for group in groups)
    several = None if request.reranker else _several(groups, meta)
    reranker, skipped = None, skipped or several
    if skipped is None:
        reranker, skipped = late_encoder(request, meta, is_set_up, context)
    reader, unread = reranker, skipped
    if reader is None and request.passages and request.size:
        reader, unread = (None, several) if several else late_encoder(request, meta, is_set_up, context)
    return reranker, skipped, reader, unread.reason if unread else ""


def _membership(request: SearchRequest, groups: Sequence[IndexGroup], meta: IndexMeta) -> Membership:
    """As `decide`, for the fields that every index encodes; a mode with one part leaves nothing to decide."""
    encoded = {field.name for field in meta.fields}
    for group in groups:
        if group.meta is not None:
            encoded &= {field.name for field in group.meta.fields}
    found = decide(request.body, encoded, request.match_set, request.text)
    found = replace(found, text=found.text.replace(TEXT_SLOT, request.text))
    if found.match_set == "none":
        return found
    if request.mode == "bm25":
        return replace(found, match_set="lexical", reason="mode bm25")
    if request.mode == "sparse" and "query" not in request.body:
        return replace(found, match_set="union", reason="mode sparse")
    return found


def _others(groups: Sequence[IndexGroup], meta: IndexMeta, context: Context) -> tuple[tuple[IndexGroup, Encoder], ...]:
    """Groups whose weights are of another model than `meta`'s, those of one model together."""
    found: dict[str, IndexGroup] = {}
    for group in groups:
        if group.meta is not None and _encoding(group.meta) != _encoding(meta):
            before = found.get(_encoding(group.meta))
            names = (*before.names, *group.names) if before else group.names
            found[_encoding(group.meta)] = IndexGroup(names, group.meta)
    return tuple(
        (group, sparse_encoder(group.meta, context.encoders)) for group in found.values() if group.meta is not None
    )


def _several(groups: Sequence[IndexGroup], meta: IndexMeta) -> RerankOutcome | None:
    """Why nothing is reranked where token codes are of several models: their MaxSim cannot be compared."""
    others = [group.meta for group in groups if group.meta is not None]
    if len({other.fingerprint.codes for other in others}) < 2:
        return None
    reason = f"the indices behind this name have token codes of {len(others)} models: search them one by one"
    return RerankOutcome(RerankStatus.UNAVAILABLE, reason)


def _encoding(meta: IndexMeta | None) -> str:
    return "" if meta is None else meta.fingerprint.sparse


def _fingerprint(groups: Sequence[IndexGroup], meta: IndexMeta) -> str:
    several = dict.fromkeys(fingerprint_text(group.meta.fingerprint) for group in groups if group.meta is not None)
    return ",".join(several) or fingerprint_text(meta.fingerprint)


def failed_open(error: ChercheError) -> RerankOutcome:
    """The outcome of a rerank that an error kept from running."""
    return RerankOutcome(_FAILS_OPEN.get(error.code, RerankStatus.UNAVAILABLE), str(error))


def _bare_meta(request: SearchRequest) -> IndexMeta:
    """Settings of an index that was never set up."""
    fields = tuple(TextField(name) for name in request.fields or DEFAULT_FIELDS)
    return IndexMeta(model=request.model, fingerprint=Fingerprint(""), fields=fields, max_length=0, codec=NO_CODES)


def _skipped(request: SearchRequest, page: Page | None, offset: int, window: int) -> RerankOutcome | None:
    """Why no rerank is tried, where none is."""
    if not request.rerank or not request.size:
        return RerankOutcome()
    if is_sorted(request.body):
        return RerankOutcome(RerankStatus.SKIPPED_SORT, "the search asks for another order than the score's")
    if offset >= window:
        return RerankOutcome(RerankStatus.OUTSIDE_WINDOW, f"this page starts below the window of {window} hits")
    if page is not None and not page.reranked:
        reason = "the pages before were not reranked, so this one keeps their order; search again for a rerank"
        return RerankOutcome(RerankStatus.UNAVAILABLE, reason)
    return None


def late_encoder(
    request: SearchRequest, meta: IndexMeta, is_set_up: bool, context: Context
) -> tuple[Encoder | None, RerankOutcome | None]:
    """The late-interaction model that reads query and hits, or why there is none.

    Raises
    ------
    ChercheError
        NOT_FOUND for a model that the caller names.
    """
    try:
        if meta.fingerprint.codes and not request.reranker:
            return codes_encoder(meta, context.encoders), None
        encoder = context.encoders.named(request.reranker or meta.reranker or meta.model)
    except ChercheError as error:
        # The caller named that model, or for an index without settings: an error, not a rerank that is left out.
        if error.code is Code.NOT_FOUND and (request.reranker or (not is_set_up and meta.model)):
            raise
        return None, failed_open(error)
    if encoder.info.late_interaction:
        return encoder, None
    mend = "set the index up with --reranker" if is_set_up and not request.reranker else "name a ColBERT or joint model"
    reason = f"model {encoder.info.name!r} has no late-interaction head — {mend}"
    return None, RerankOutcome(RerankStatus.UNAVAILABLE, reason)


def _weight(request: SearchRequest, stored: IndexMeta | None, reranker: Encoder | None) -> float:
    """Share of MaxSim: the caller's, the index's, or what the model was tuned with."""
    if request.rerank_weight is not None:
        return request.rerank_weight
    if stored is not None and not request.reranker:
        return stored.rerank_weight
    return reranker.info.rerank_weight if reranker is not None else 0.0


def order_hash(request: SearchRequest, meta: IndexMeta, boost: float, phases: Phases = ONE_PHASE) -> str:
    """Of every option that changes the order of hits, for a page token.

    Parameters
    ----------
    boost : float
        The sparse boost that the search uses.
    phases : Phases
        Those that it has.
    """
    # As they are used, not as they were requested: defaults of the index may change between two pages.
    resolved = {"sparse_boost": boost, "fields": [[field.name, field.boost] for field in meta.fields]}
    # By name and without defaults, so that sidecars of a release that has more options continue searches of this one's.
    rows = [row for row in options(SearchRequest).values() if not row.keeps_order]
    given = {row.name: getattr(request, row.name) for row in rows if getattr(request, row.name) != row.default}
    two = {"first_terms": phases.terms, "candidates": phases.candidates} if phases.terms else {}
    return sha256_of({**given, **resolved, **two})


def _read_page(request: SearchRequest, fingerprint: str, context: Context) -> Page | None:
    if not request.page_token:
        return None
    page = context.signer.read(request.page_token)
    if page.fingerprint != fingerprint:
        raise precondition("the page token expired: the index was set up anew since", "search again without it")
    return page


def fingerprint_text(fingerprint: Fingerprint) -> str:
    """Both parts of a fingerprint, for a page token."""
    return f"{fingerprint.sparse}/{fingerprint.codes}"
