"""Searches: requests, queries to an engine, hits and scores. Frozen, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sidecar.values.documents import Json
from sidecar.values.index import Fingerprint, TextField

Mode = Literal["bm25", "sparse", "hybrid"]
QueryMode = Literal["full", "pruned", "doc_only"]
MatchSet = Literal["auto", "lexical", "union"]


class RerankStatus:
    """Names of what can become of a rerank; the wire's enum has the same."""

    NOT_REQUESTED = "NOT_REQUESTED"
    APPLIED = "APPLIED"
    PARTIAL = "PARTIAL"
    SKIPPED_SORT = "SKIPPED_SORT"
    OUTSIDE_WINDOW = "OUTSIDE_WINDOW"
    DEADLINE = "DEADLINE"
    UNAVAILABLE = "UNAVAILABLE"
    CODES_MISSING = "CODES_MISSING"
    UNKNOWN_LANGUAGE = "UNKNOWN_LANGUAGE"


class SparseStatus:
    """Names of what can become of the sparse part of a query; the wire's enum has the same."""

    NOT_REQUESTED = "NOT_REQUESTED"
    APPLIED = "APPLIED"
    NO_TERMS = "NO_TERMS"
    UNKNOWN_LANGUAGE = "UNKNOWN_LANGUAGE"


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds spent in each stage."""

    tokenize: float = 0.0
    queue: float = 0.0
    encode: float = 0.0
    engine: float = 0.0
    rerank: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class ScoreParts:
    """Where a score comes from; the three last are None where the hit was not reranked."""

    lexical: float
    sparse: float
    first_stage: float
    first_stage_rank: int
    maxsim: float | None = None
    first_stage_scaled: float | None = None
    maxsim_scaled: float | None = None


@dataclass(frozen=True, slots=True)
class RerankOutcome:
    """What became of the rerank, with counts and a reason for people."""

    status: str = RerankStatus.NOT_REQUESTED
    reason: str = ""
    window: int = 0
    reranked: int = 0
    codes_missing: int = 0
    weight: float = 0.0


@dataclass(frozen=True, slots=True)
class SparseOutcome:
    """What became of the sparse part: terms that were sent, tokens that the query has, and a reason for people."""

    status: str = SparseStatus.NOT_REQUESTED
    reason: str = ""
    terms: int = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class TermContribution:
    """One shared term: `contribution` = sparse_boost · query_weight · document_weight."""

    token: str
    query_weight: float
    document_weight: float
    contribution: float


@dataclass(frozen=True, slots=True)
class TokenMatch:
    """One query token and the document token that answers it; `document_token` "" where its text was withheld."""

    query_token: str
    document_token: str
    document_position: int
    similarity: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a hit is where it is."""

    id: str
    terms: tuple[TermContribution, ...]
    matches: tuple[TokenMatch, ...]
    sparse_boost: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SparseClause:
    """One weighted query term: vocabulary id, feature name, weight."""

    id: int
    name: str
    weight: float


@dataclass(frozen=True, slots=True)
class GroupClauses:
    """Indices of another model (see `IndexGroup`), and the query's terms as that model weighs them."""

    names: tuple[str, ...]
    clauses: tuple[SparseClause, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """A first stage for an engine.

    Attributes
    ----------
    text : str
        What the user typed; the engine's own BM25 over `fields` unless `body` has a query.
    mode : {"bm25", "sparse", "hybrid"}
    match_set : {"lexical", "union"}
        Decided already: membership of a hybrid query.
    fields : tuple of TextField
    clauses : tuple of SparseClause
        Empty for bm25.
    sparse_boost : float
        Factor of the sparse clause.
    size, offset : int
        Window of the engine's order.
    body : mapping
        The user's own search body (query, filter, aggs, sort, …), untouched.
    source_fields : tuple of str
        Empty for all.
    with_terms, with_codes : bool
        Read packed terms, codes back with each hit.
    pit : str
        Point in time to search in; empty opens none.
    keep_pit : bool
        Open a point in time when `pit` is empty, and return it.
    timeout : float or None
        Seconds the caller still has.
    names : tuple of str
        Concrete indices that `clauses` are for, where there are `others`.
    others : tuple of GroupClauses
        The same query for indices of other models.
    """

    text: str
    mode: Mode
    fields: tuple[TextField, ...]
    match_set: Literal["lexical", "union"] = "union"
    clauses: tuple[SparseClause, ...] = ()
    sparse_boost: float = 1.0
    size: int = 10
    offset: int = 0
    body: Json = field(default_factory=dict)
    source_fields: tuple[str, ...] = ()
    with_terms: bool = False
    with_codes: bool = False
    pit: str = ""
    keep_pit: bool = False
    timeout: float | None = None
    names: tuple[str, ...] = ()
    others: tuple[GroupClauses, ...] = ()


@dataclass(frozen=True, slots=True)
class EngineHit:
    """One hit of the first stage; `score` = `lexical` + `sparse`. `extra` is highlight, sort and the like."""

    id: str
    score: float
    lexical: float = 0.0
    sparse: float = 0.0
    source: Json = field(default_factory=dict)
    terms: bytes | None = None
    codes: bytes | None = None
    extra: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EnginePage:
    """What the first stage found.

    `request` is what was sent: method, path, body. `clauses` is how many of the query's clauses were
    sent, from the first on; None for all. `indices` are the concrete ones that hold the hits. `partial`: not
    every shard answered.
    """

    hits: tuple[EngineHit, ...]
    total: int
    total_is_lower_bound: bool = False
    aggregations: Json | None = None
    pit: str = ""
    request: Json = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    clauses: int | None = None
    indices: tuple[str, ...] = ()
    partial: bool = False


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """A search as the caller wrote it; None and 0 stand for the index's settings.

    `model` and `fields` serve an index that cherche was never set up on.
    """

    index: str
    text: str
    mode: Mode = "hybrid"
    query_mode: QueryMode = "full"
    match_set: MatchSet = "auto"
    query_terms: int = 16
    rerank: bool = False
    rerank_window: int = 0
    rerank_weight: float | None = None
    sparse_boost: float | None = None
    size: int = 10
    page_token: str = ""
    body: Json = field(default_factory=dict)
    source_fields: tuple[str, ...] = ()
    include_engine_request: bool = False
    model: str = ""
    fields: tuple[str, ...] = ()
    paginate: bool = False


@dataclass(frozen=True, slots=True)
class Hit:
    """One hit of the final order; `rank` counts from 1 over the whole order."""

    id: str
    rank: int
    score: float
    parts: ScoreParts
    source: Json
    extra: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A page of hits."""

    hits: tuple[Hit, ...]
    total: int
    total_is_lower_bound: bool
    rerank: RerankOutcome
    fingerprint: Fingerprint
    timings: Timings
    next_page_token: str = ""
    aggregations: Json | None = None
    engine_request: Json | None = None
    warnings: tuple[str, ...] = ()
    query_terms: int = 0
    sparse: SparseOutcome = field(default_factory=SparseOutcome)
