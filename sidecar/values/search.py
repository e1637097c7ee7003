"""Searches: requests, hits and scores. Frozen, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from cherche_models.fuse import RANK_CONSTANT
from sidecar.values.documents import Json
from sidecar.values.first_stage import CANDIDATES, FUSION_WINDOW, Fusion, MatchSetRan, Mode
from sidecar.values.index import DEFAULT_FIELDS, Fingerprint
from sidecar.values.options import Option
from sidecar.values.passages import MOST_PASSAGES, Passage

QueryMode = Literal["full", "pruned", "doc_only"]
MatchSet = Literal["auto", "lexical", "union"]

TEXT_SLOT = "{{text}}"
"""Stands for the query text in the strings of a search body."""


class RerankStatus:
    """Rerank statuses, named as in the wire's enum."""

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
    """Statuses of the sparse clause, named as in the wire's enum."""

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
    """Components of a score; MaxSim and scaled ones are None where the hit was not reranked.

    `first_stage` is the sum of `lexical` and `sparse`; with ranks, of ``1 / (rank_constant + rank)`` instead. A rank
    is None where the hit is not in the window of that part.
    """

    lexical: float
    sparse: float
    first_stage: float
    first_stage_rank: int
    maxsim: float | None = None
    first_stage_scaled: float | None = None
    maxsim_scaled: float | None = None
    lexical_rank: int | None = None
    sparse_rank: int | None = None


@dataclass(frozen=True, slots=True)
class RerankOutcome:
    """Rerank status, with counts and a reason for people."""

    status: str = RerankStatus.NOT_REQUESTED
    reason: str = ""
    window: int = 0
    reranked: int = 0
    codes_missing: int = 0
    weight: float = 0.0


@dataclass(frozen=True, slots=True)
class SparseOutcome:
    """Status of the sparse clause: terms sent, tokens of the query, and a reason for people.

    Of the terms, the `first_terms` heaviest found the candidates which all of them scored; 0 where all did both.
    """

    status: str = SparseStatus.NOT_REQUESTED
    reason: str = ""
    terms: int = 0
    tokens: int = 0
    first_terms: int = 0


@dataclass(frozen=True, slots=True)
class TermContribution:
    """One shared term: `contribution` = sparse_boost · query_weight · document_weight."""

    token: str
    query_weight: float
    document_weight: float
    contribution: float


@dataclass(frozen=True, slots=True)
class TokenMatch:
    """A query token and the document token most similar to it; `document_token` is "" where its text was withheld."""

    query_token: str
    document_token: str
    document_position: int
    similarity: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Contributions to the score of a hit."""

    id: str
    terms: tuple[TermContribution, ...]
    matches: tuple[TokenMatch, ...]
    sparse_boost: float
    notes: tuple[str, ...] = ()


_INDEX_SETTING = "the index's setting"
_OF_WEIGHTS = {"mode": ("sparse", "hybrid")}
_OF_RERANK = {"rerank": (True,)}
_OF_RRF = {"mode": ("hybrid",), "fusion": ("rrf",)}
_IN_TOKEN = "the page token carries the value that the first page had"


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """A search as the caller wrote it, and the table of its options.

    `model` and `fields` are for an index that cherche was never set up on.
    """

    index: Annotated[str, Option("Index, alias or pattern.", flags=())]
    text: Annotated[str, Option("Query text.", flags=())]
    mode: Annotated[Mode, Option("First stage: BM25, term weights, or both in one query.")] = "hybrid"
    query_mode: Annotated[
        QueryMode,
        Option(
            "All terms of the model, its most important ones, or the query's own tokens by idf.",
            tunes=True,
            of=_OF_WEIGHTS,
        ),
    ] = "full"
    match_set: Annotated[
        MatchSet,
        Option(
            "Clause that decides what is a hit: your own, or either; auto is union for a single full-text clause.",
            tunes=True,
            of=_OF_WEIGHTS,
        ),
    ] = "auto"
    query_terms: Annotated[
        int,
        Option(
            "Terms kept by the query mode pruned.", least=1, tunes=True, of=_OF_WEIGHTS | {"query_mode": ("pruned",)}
        ),
    ] = 16
    first_terms: Annotated[
        int | None,
        Option(
            "Heaviest query terms that find candidates beside BM25, which all terms then score; 0: all find hits.",
            least=0,
            unset=_INDEX_SETTING,
            tunes=True,
            of=_OF_WEIGHTS,
        ),
    ] = None
    candidates: Annotated[
        int,
        Option(
            "Best hits of each shard that all terms score where there are first terms; the order ends there.",
            least=1,
            tunes=True,
            of=_OF_WEIGHTS,
        ),
    ] = CANDIDATES
    rerank: Annotated[bool, Option("Reorder the window by MaxSim.")] = False
    rerank_window: Annotated[
        int, Option("Hits reranked.", least=1, unset=_INDEX_SETTING, keeps_order=_IN_TOKEN, tunes=True, of=_OF_RERANK)
    ] = 0
    rerank_weight: Annotated[
        float | None,
        Option(
            "Share of MaxSim.", least=0, most=1, unset=_INDEX_SETTING, keeps_order=_IN_TOKEN, tunes=True, of=_OF_RERANK
        ),
    ] = None
    sparse_boost: Annotated[
        float | None, Option("Factor of the sparse clause.", above=0, unset=_INDEX_SETTING, tunes=True, of=_OF_WEIGHTS)
    ] = None
    fusion: Annotated[
        Fusion,
        Option(
            "Score of mode hybrid: the sum of both parts, or of their reciprocal ranks.",
            tunes=True,
            of={"mode": ("hybrid",)},
        ),
    ] = "sum"
    rank_constant: Annotated[
        int, Option("Constant k of fusion rrf: a part adds 1 / (k + rank).", least=1, tunes=True, of=_OF_RRF)
    ] = RANK_CONSTANT
    fusion_window: Annotated[
        int,
        Option("Best hits of each part that fusion rrf ranks; its order ends there.", least=1, tunes=True, of=_OF_RRF),
    ] = FUSION_WINDOW
    size: Annotated[
        int,
        Option(
            "Hits per page; 0 for the count and aggregations alone.",
            least=0,
            flags=("--size", "-n"),
            keeps_order="it cuts the order into pages, and the page token carries where the next one starts",
        ),
    ] = 10
    page_token: Annotated[
        str,
        Option(
            "Continue an earlier page.",
            flags=("--page",),
            metavar="TOKEN",
            keeps_order="it only says where in the order the page starts",
        ),
    ] = ""
    body: Annotated[
        Json, Option("A search body of the engine's own, with {{text}} slots.", flags=(), wire="body_json")
    ] = field(default_factory=dict)
    source_fields: Annotated[
        tuple[str, ...],
        Option(
            "Fields to return; repeatable.",
            flags=("--source",),
            metavar="FIELD",
            unset="all",
            keeps_order="it selects what is shown of a hit",
        ),
    ] = ()
    include_engine_request: Annotated[
        bool,
        Option(
            "Print the engine's request as a curl command.",
            flags=("--curl",),
            keeps_order="it adds the engine's request to the answer",
        ),
    ] = False
    model: Annotated[str, Option("Served model.", flags=(), unset="the sidecar's default")] = ""
    fields: Annotated[
        tuple[str, ...], Option("Fields searched and encoded.", flags=(), unset=" and ".join(DEFAULT_FIELDS))
    ] = ()
    paginate: Annotated[
        bool,
        Option("Also print the token of the next page.", keeps_order="it keeps a point in time open for later pages"),
    ] = False
    reranker: Annotated[
        str,
        Option(
            "Reranks by the text of the hits, encoded now: a ColBERT or joint model, or any sentence encoder.",
            metavar="NAME|PATH|ID",
            unset="the index's own, by its codes",
            tunes=True,
            of=_OF_RERANK,
        ),
    ] = ""
    passages: Annotated[
        int,
        Option(
            "Best passages of each hit, by MaxSim of their tokens.",
            least=1,
            most=MOST_PASSAGES,
            keeps_order="it adds to what is shown of a hit",
        ),
    ] = 0


@dataclass(frozen=True, slots=True)
class Hit:
    """One hit of the final order; `rank` counts from 1 over all of it. `passages`: best first, short values last."""

    id: str
    rank: int
    score: float
    parts: ScoreParts
    source: Json
    extra: Json = field(default_factory=dict)
    passages: tuple[Passage, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A page of hits, with search status.

    `match_set` is the one that ran, `match_set_reason` says why.
    """

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
    match_set: MatchSetRan = "none"
    match_set_reason: str = ""
