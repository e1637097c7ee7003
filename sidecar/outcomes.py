"""What became of a search: statuses, parts of scores, times, explanations. Frozen, no I/O."""

from __future__ import annotations

from dataclasses import dataclass


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
