"""Encode a query text as weighted clauses and token embeddings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from cherche_models import grid
from cherche_models.prune import Prune
from cherche_models.types import Encoding, TermWeights, TokenEmbeddings, Tokens
from sidecar.errors import ChercheError, Code, invalid
from sidecar.pipeline.context import Context
from sidecar.pipeline.encode import name_of
from sidecar.pipeline.text import has_words
from sidecar.pipeline.weights import check_countable
from sidecar.protocols import Encoder
from sidecar.values.first_stage import SparseClause
from sidecar.values.index import IndexGroup, IndexMeta
from sidecar.values.model import Encoded, ModelDescription
from sidecar.values.options import check_bounds
from sidecar.values.search import RerankOutcome, RerankStatus, SearchRequest, SparseOutcome, SparseStatus

_NO_TABLE = "model {!r} brings no idf table: query terms weigh their idf in this index"
_STAGES = ("tokenize", "queue", "encode")
_UNKNOWN_LANGUAGE = "model {!r} does not know the language of this query"
# Age in seconds of document frequencies that need no model: counting takes longer than the search itself, and an idf
# hardly moves meanwhile. An index that was created again is noticed sooner, with its other facts.
FREQUENCIES_AGE = 60.0
_SHARE = 0.5  # of the time left, for a pass that only the rerank needs: the first stage comes after it


@dataclass(frozen=True, slots=True)
class EncodedQuery:
    """A query as the first stage and the rerank use it.

    Attributes
    ----------
    clauses : tuple of SparseClause
        Heaviest first.
    embeddings : TokenEmbeddings or None
        Shape (query tokens, dim).
    tokens : tuple of str
        Parallel to `embeddings`.
    timings : mapping of str to float
        Seconds of tokenize, queue, encode.
    token_count : int
        Tokens of the query, special ones included, as the model read it; 0 without a pass.
    unknown_language, late_unknown_language : bool
        The sparse model, or the reranker, does not know its language.
    """

    clauses: tuple[SparseClause, ...] = ()
    embeddings: TokenEmbeddings | None = None
    tokens: tuple[str, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    token_count: int = 0
    unknown_language: bool = False
    late_unknown_language: bool = False


def sparse_outcome(encoded: EncodedQuery, sparse: Encoder | None, terms: int) -> SparseOutcome:
    """Status of the sparse clause, of which `terms` were sent."""
    if sparse is None:
        return SparseOutcome()
    if encoded.unknown_language:
        reason = f"{_UNKNOWN_LANGUAGE.format(sparse.info.name)}: BM25 alone answered; serve a model for it"
        return SparseOutcome(SparseStatus.UNKNOWN_LANGUAGE, reason, tokens=encoded.token_count)
    if not terms:
        return SparseOutcome(SparseStatus.NO_TERMS, "the query has no term weights", tokens=encoded.token_count)
    return SparseOutcome(SparseStatus.APPLIED, terms=terms, tokens=encoded.token_count)


def query_embeddings(encoded: EncodedQuery, reranker: Encoder) -> TokenEmbeddings | RerankOutcome:
    """Embeddings to rerank by, or why nothing is reranked."""
    if encoded.embeddings is not None and len(encoded.embeddings):
        return encoded.embeddings
    if encoded.late_unknown_language:
        reason = f"{_UNKNOWN_LANGUAGE.format(reranker.info.name)}; serve a reranker for it"
        return RerankOutcome(RerankStatus.UNKNOWN_LANGUAGE, reason)
    return RerankOutcome(RerankStatus.UNAVAILABLE, "the reranker kept no token of this query")


def check(request: SearchRequest, context: Context) -> None:
    """Refuse a request that cannot be searched.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT naming what is wrong.
    """
    if not request.text.strip() and "query" not in request.body:
        raise invalid("the query is empty", "type what you look for")
    if len(request.text) > context.limits.query_characters:
        raise invalid(
            f"the query has {len(request.text):,} characters, the limit is {context.limits.query_characters:,}",
            "search for less, or raise CHERCHE_LIMITS__QUERY_CHARACTERS on the server",
        )
    try:
        request.text.encode()
    except UnicodeEncodeError:
        raise invalid("the query holds a lone surrogate", "replace it: it is no character") from None
    check_bounds(request)
    if request.paginate and not request.size:
        raise invalid("a page of no hits has no next one", "give size at least 1, or do not page")


def check_text(request: SearchRequest, text: str) -> None:
    """Refuse a search that would encode an empty text: only BM25 with a query of the caller's needs none.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT.
    """
    if not text.strip() and (request.mode != "bm25" or request.rerank):
        what = "a rerank" if request.mode == "bm25" else f"mode {request.mode}"
        raise invalid(f"the query is empty, and {what} encodes it", "give it a text, or search with mode bm25 alone")


async def encode_query(
    request: SearchRequest,
    meta: IndexMeta,
    context: Context,
    *,
    sparse: Encoder | None,
    reranker: Encoder | None,
) -> tuple[EncodedQuery, ChercheError | None]:
    """Encode a query for the stages that will run, None for those that will not; one pass a model.

    Returns
    -------
    EncodedQuery, and what kept the reranker from encoding, where that costs only the rerank.

    Raises
    ------
    ChercheError
        Of the sparse model.
    """
    if reranker is None or (reranker is sparse and request.query_mode != "doc_only"):
        return await _encode(request, meta, context, sparse, reranker), None
    first = await _encode(request, meta, context, sparse, None)
    try:
        late = await _encode(request, meta, context.within(_SHARE), None, reranker)
    except ChercheError as error:
        return first, error
    both = replace(
        first,
        embeddings=late.embeddings,
        tokens=late.tokens,
        timings={stage: first.timings[stage] + late.timings[stage] for stage in _STAGES},
        # Both models were given the same text: one warning of its length is enough.
        warnings=first.warnings or late.warnings,
        late_unknown_language=late.late_unknown_language,
    )
    return both, None


async def _encode(
    request: SearchRequest, meta: IndexMeta, context: Context, sparse: Encoder | None, reranker: Encoder | None
) -> EncodedQuery:
    if not has_words(request.text):
        sparse = None  # models give punctuation weights, which would find almost every document
    needs_pass = sparse is not None and request.query_mode != "doc_only"
    passed = await _encode_one(sparse, request.text, context) if sparse is not None and needs_pass else None
    if reranker is None:
        late = None
    elif passed is not None and reranker is sparse:
        late = passed
    else:
        late = await _encode_one(reranker, request.text, context)
    clauses: tuple[SparseClause, ...] = ()
    warnings: tuple[str, ...] = ()
    if sparse is not None:
        if passed is None:
            weights, warnings = await idf_weights(request, sparse, meta, context)
        else:
            weights = passed.encoding.weights or TermWeights.empty()
        clauses = to_clauses(_chosen(weights, request), sparse, meta)
    return EncodedQuery(
        clauses,
        late.encoding.embeddings if late else None,
        _kept_texts(reranker, late.tokens) if reranker and late else (),
        _timings(passed, late),
        (*_truncation(passed or late), *warnings),
        max((len(one.tokens) for one in (passed, late) if one), default=0),
        passed is not None and passed.encoding.unknown_language,
        late is not None and late.encoding.unknown_language,
    )


def to_clauses(weights: TermWeights, encoder: Encoder, meta: IndexMeta) -> tuple[SparseClause, ...]:
    """Feature names and float32 weights, heaviest first, ties by id.

    Raises
    ------
    ChercheError
        INTERNAL if a weight is NaN or infinite: then the model is broken, not the query.
    """
    if not bool(np.isfinite(weights.weights).all()):
        raise ChercheError(
            Code.INTERNAL,
            f"model {encoder.info.name!r} gave NaN or infinite weights for this query",
            "check the model with: cherche doctor",
        )
    kept = grid.storable(weights.weights)
    pairs = ((i, w) for (i, w), ok in zip(weights.items(), kept.tolist(), strict=True) if ok)
    names = encoder.info.vocabulary
    heaviest = sorted(pairs, key=lambda pair: (-pair[1], pair[0]))
    return tuple(SparseClause(i, name_of(names, i, meta.naming), w) for i, w in heaviest)


async def idf_weights(
    request: SearchRequest, encoder: Encoder, meta: IndexMeta, context: Context
) -> tuple[TermWeights, tuple[str, ...]]:
    """Weights without a model pass, the query's own tokens by idf; and a warning where they are not the model's.

    The model's idf table where it has one, else ``ln(1 + (N - df + 0.5) / (df + 0.5))`` with the
    index's own document frequencies of the features (Robertson & Spärck Jones; Lucene's BM25 form).
    """
    frame, tokens = await encoder.tokenize(["", request.text], "query")
    vocabulary = encoder.info.vocabulary
    own = sorted(i for i in set(tokens.ids) - set(frame.ids) if i < len(vocabulary))
    if not own:
        return TermWeights.empty(), ()
    table = encoder.idf(tokens)
    if table is not None:
        return TermWeights.from_pairs((i, table[i]) for i in own if table.get(i, 0.0) > 0), ()
    check_countable(encoder, meta)
    features = [(i, name_of(vocabulary, i, meta.naming)) for i in own]
    counts, total = await context.engine.document_frequencies(request.index, features, max_age=FREQUENCIES_AGE)
    weights = TermWeights.from_pairs(
        (i, math.log1p((total - df + 0.5) / (df + 0.5))) for i, df in zip(own, counts, strict=True) if df
    )
    return weights, (_NO_TABLE.format(encoder.info.name),)


def _chosen(weights: TermWeights, request: SearchRequest) -> TermWeights:
    if request.query_mode != "pruned":
        return weights
    return Prune("top_k", request.query_terms)(weights)


async def _encode_one(encoder: Encoder, text: str, context: Context) -> Encoded:
    key = context.query_cache.key(encoder.info, text)
    if (kept := context.query_cache.get(key)) is not None:
        return kept
    [result] = await encoder.encode([text], "query", lane="query", timeout=context.remaining())
    if isinstance(result, ChercheError):
        raise result
    if _is_whole(result.encoding, encoder.info):
        context.query_cache.put(key, replace(result, tokenize=0.0, queue=0.0, encode=0.0))
    return result


def _is_whole(encoding: Encoding, model: ModelDescription) -> bool:
    """Whether each head of the model answered. What lacks one is made again for whoever asks next."""
    if encoding.unknown_language:
        return True
    lacks_weights = model.sparse and encoding.weights is None
    return not lacks_weights and not (model.late_interaction and encoding.embeddings is None)


def _kept_texts(encoder: Encoder, tokens: Tokens) -> tuple[str, ...]:
    return tuple(tokens.texts[place] for place in encoder.kept(tokens, "query"))


def _timings(*passes: Encoded | None) -> dict[str, float]:
    # One pass may have served both stages.
    distinct = {id(one): one for one in passes if one is not None}.values()
    return {stage: sum(getattr(one, stage) for one in distinct) for stage in _STAGES}


def _truncation(one: Encoded | None) -> tuple[str, ...]:
    if one is None or not one.tokens.truncated:
        return ()
    return (f"the query has {one.tokens.total} tokens; the model read the first {len(one.tokens)}",)


def limit_of(
    request: SearchRequest, groups: Sequence[IndexGroup], meta: IndexMeta, context: Context
) -> tuple[int, tuple[str, ...]]:
    """Deepest hit that a search may reach, and a warning for each window that ends there instead of where it was set.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for a window beyond the server's own limit.
    """
    windows = {}
    if request.rerank:
        windows["rerank window"] = request.rerank_window or meta.rerank_window
    if request.fusion == "rrf" and request.mode == "hybrid":
        windows["fusion window"] = request.fusion_window
    limit = context.limits.window
    check_depth(request, max(windows.values(), default=0), limit, context)
    limit = min([limit, *(group.max_window for group in groups if group.max_window is not None)])
    cut = [name for name, window in windows.items() if window > limit]
    said = (f"the {name} of {windows[name]:,} hits is cut to index.max_result_window, {limit:,}" for name in cut)
    return limit, tuple(said)


def check_depth(request: SearchRequest, deepest: int, limit: int, context: Context) -> None:
    """Refuse a page that ends below the limit."""
    if deepest > limit:
        setting = "CHERCHE_LIMITS__WINDOW on the server"
        if limit < context.limits.window:
            setting = f"index.max_result_window of {request.index}"
        raise invalid(
            f"this asks for hit {deepest:,}, the limit is {limit:,}", f"narrow the search, or raise {setting}"
        )
