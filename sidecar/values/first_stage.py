"""What a first stage is asked, and what it answers: queries to an engine, and pages of its hits. Frozen, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from cherche_models.fuse import RANK_CONSTANT
from sidecar.values.documents import RANK_FEATURES, Json, StoredDocument
from sidecar.values.index import TextField
from sidecar.values.made import Made

Mode = Literal["bm25", "sparse", "hybrid"]
MatchSetRan = Literal["lexical", "union", "none"]
Fusion = Literal["sum", "rrf"]

FUSION_WINDOW = 100
CANDIDATES = 1000


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
        Query text; BM25 over `fields` unless `body` has a query.
    mode : {"bm25", "sparse", "hybrid"}
    match_set : {"lexical", "union", "none"}
        Resolved: which clause decides what is a hit; with `none` there is only the caller's, as it was written.
    fields : tuple of TextField
    clauses : tuple of SparseClause
        Empty for bm25.
    sparse_boost : float
        Factor of the sparse clause.
    fusion : {"sum", "rrf"}
        How both parts of hybrid become a score.
    rank_constant, fusion_window : int
        Of rrf: see `SearchRequest`.
    size, offset : int
        Range of the engine's order.
    body : mapping
        The caller's search body (query, filter, aggs, sort, …), untouched.
    source_fields : tuple of str
        Empty for all.
    with_terms, with_codes, with_state : bool
        Read packed terms, codes, what is said of them back with each hit.
    codes_optional : bool
        Whether a hit without codes may be complete.
    pit : str
        Point in time to search in; empty opens none.
    keep_pit : bool
        Open a point in time when `pit` is empty, and return it.
    timeout : float or None
        Seconds until the caller's deadline.
    names : tuple of str
        Concrete indices that `clauses` are for, where there are `others`.
    others : tuple of GroupClauses
        The same query for indices of other models.
    first_terms, candidates : int
        In a union of more terms than `first_terms`, these and BM25 find the best so many hits of a shard, and the
        other terms add their score to those alone. 0: all terms find hits.
    weights : {"rank_features", "seismic"}
        Field that holds the weights, as the index was set up. Of ``seismic`` only the best `candidates` hits of the
        terms are found in a large segment.
    """

    text: str
    mode: Mode
    fields: tuple[TextField, ...]
    match_set: MatchSetRan = "union"
    clauses: tuple[SparseClause, ...] = ()
    sparse_boost: float = 1.0
    fusion: Fusion = "sum"
    rank_constant: int = RANK_CONSTANT
    fusion_window: int = FUSION_WINDOW
    size: int = 10
    offset: int = 0
    body: Json = field(default_factory=dict)
    source_fields: tuple[str, ...] = ()
    with_terms: bool = False
    with_codes: bool = False
    with_state: bool = False
    codes_optional: bool = False
    pit: str = ""
    keep_pit: bool = False
    timeout: float | None = None
    names: tuple[str, ...] = ()
    others: tuple[GroupClauses, ...] = ()
    first_terms: int = 0
    candidates: int = CANDIDATES
    weights: str = RANK_FEATURES

    @property
    def needs_codes(self) -> bool:
        """Whether codes are read, and a hit without them lacks something."""
        return self.with_codes and not self.codes_optional

    @property
    def by_ranks(self) -> bool:
        """Whether there are two rankings to fuse."""
        return self.fusion == "rrf" and self.mode == "hybrid" and bool(self.clauses)


@dataclass(frozen=True, slots=True)
class EngineHit:
    """One hit of the first stage; `score` = `lexical` + `sparse`, or that of both ranks.

    `extra` is highlight, sort and the like, `index` the concrete index that holds it, `held` what it says of its
    neural part, where that was asked for, `boost` the factor of its index that is in all its scores.
    """

    id: str
    score: float
    lexical: float = 0.0
    sparse: float = 0.0
    source: Json = field(default_factory=dict)
    terms: bytes | None = None
    codes: bytes | None = None
    extra: Json = field(default_factory=dict)
    index: str = field(default="", compare=False)
    lexical_rank: int | None = None
    sparse_rank: int | None = None
    held: StoredDocument | None = field(default=None, compare=False)
    boost: float = 1.0


class Hits(Made[EngineHit]):
    """Hits that are ordered by what each has here, and of which few are made: those that are shown.

    Parameters
    ----------
    ids, scores, codes : sequences
        Of all hits, in the engine's order.
    make : callable
        The hit of a place.
    """

    __slots__ = ("codes", "ids", "scores")

    def __init__(
        self,
        ids: Sequence[str],
        scores: Sequence[float],
        codes: Sequence[bytes | None],
        make: Callable[[int], EngineHit],
    ) -> None:
        super().__init__(len(ids), make)
        self.ids, self.scores, self.codes = ids, scores, codes

    @classmethod
    def of(cls, hits: Sequence[EngineHit]) -> Hits:
        """The same hits, which may be made already."""
        if isinstance(hits, cls):
            return hits
        return cls([hit.id for hit in hits], [hit.score for hit in hits], [hit.codes for hit in hits], hits.__getitem__)


@dataclass(frozen=True, slots=True)
class EnginePage:
    """Hits of the first stage.

    `request` is the engine's: method, path, body. `clauses` counts the query's clauses that were sent, from the
    first on; None for all. `indices` are the concrete ones that hold the hits. `partial`: not every shard answered.
    `first_terms` found the candidates that all terms scored; 0 where there was one phase.
    """

    hits: Sequence[EngineHit]
    total: int
    total_is_lower_bound: bool = False
    aggregations: Json | None = None
    pit: str = ""
    request: Json = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    clauses: int | None = None
    indices: tuple[str, ...] = ()
    partial: bool = False
    first_terms: int = 0
