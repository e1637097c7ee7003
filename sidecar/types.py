"""Values of the sidecar: documents, queries, hits. Frozen, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sidecar.errors import ChercheError
from sidecar.outcomes import Explanation as Explanation
from sidecar.outcomes import RerankOutcome as RerankOutcome
from sidecar.outcomes import RerankStatus as RerankStatus
from sidecar.outcomes import ScoreParts as ScoreParts
from sidecar.outcomes import SparseOutcome as SparseOutcome
from sidecar.outcomes import SparseStatus as SparseStatus
from sidecar.outcomes import TermContribution as TermContribution
from sidecar.outcomes import Timings as Timings
from sidecar.outcomes import TokenMatch as TokenMatch

Json = Mapping[str, Any]
Mode = Literal["bm25", "sparse", "hybrid"]
QueryMode = Literal["full", "pruned", "doc_only"]
MatchSet = Literal["auto", "lexical", "union"]
Kind = Literal["document", "query"]
State = Literal["ok", "pending", "failed"]
Outcome = Literal["encoded", "reused", "unchanged", "failed"]

WEIGHTS, TERMS, CODES, HASH, STATE = (
    "cherche_weights",
    "cherche_terms",
    "cherche_codes",
    "cherche_hash",
    "cherche_state",
)
OWN_FIELDS = (WEIGHTS, TERMS, CODES, HASH, STATE)


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose cluster credentials a call uses.

    `authorization` is a ready header value (``Basic …``, ``ApiKey …``, ``Bearer …``); None
    is anonymous. Never logged, never part of an answer.
    """

    authorization: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class TextField:
    """A field that is encoded and searched; `token_share` 0 is no bound."""

    name: str
    token_share: float = 0.0
    boost: float = 1.0


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What stored weights and codes were made with; `codes` is "" where there are none."""

    sparse: str
    codes: str = ""


@dataclass(frozen=True, slots=True)
class Chunks:
    """How documents longer than `max_length` are cut: into at most `most` windows that share `overlap` tokens.

    One window is no cut at all: what lies beyond it is not encoded.
    """

    most: int = 1
    overlap: int = 0


@dataclass(frozen=True, slots=True)
class IndexMeta:
    """How an index is encoded and searched; lives in the mapping's ``_meta.cherche``."""

    model: str
    fingerprint: Fingerprint
    fields: tuple[TextField, ...]
    max_length: int
    reranker: str = ""
    prune: str = "none"
    naming: str = "escaped"
    codec: str = "int8"
    sparse_boost: float = 1.0
    rerank_weight: float = 0.5
    rerank_window: int = 100
    version: int = 1
    chunks: Chunks = Chunks()

    def voided_by(self, new: IndexMeta) -> bool:
        """Whether what was encoded for this is wrong for `new`.

        Codes may be added to weights, and another codec may follow: codes say themselves which one they are of.
        Whether the model behind them stayed the same is for the pipeline to see.
        """
        old, later = self.fingerprint, new.fingerprint
        is_recoded = bool(later.codes) and self.codec != new.codec
        return old.sparse != later.sparse or bool(old.codes and old.codes != later.codes and not is_recoded)

    def to_json(self) -> dict[str, Any]:
        """The object under ``_meta.cherche``."""
        return {
            "version": self.version,
            "model": self.model,
            "reranker": self.reranker,
            "fingerprint": {"sparse": self.fingerprint.sparse, "codes": self.fingerprint.codes},
            "fields": [{"name": f.name, "token_share": f.token_share, "boost": f.boost} for f in self.fields],
            "max_length": self.max_length,
            "chunks": {"most": self.chunks.most, "overlap": self.chunks.overlap},
            "prune": self.prune,
            "naming": self.naming,
            "codec": self.codec,
            "sparse_boost": self.sparse_boost,
            "rerank": {"weight": self.rerank_weight, "window": self.rerank_window},
        }

    @classmethod
    def from_json(cls, data: Json) -> IndexMeta:
        """Read `to_json`'s object back.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is not one.
        """
        version, chunks = int(data["version"]), dict(data.get("chunks", ()))
        return cls(
            version=version,
            model=str(data["model"]),
            reranker=str(data.get("reranker", "")),
            fingerprint=Fingerprint(str(data["fingerprint"]["sparse"]), str(data["fingerprint"]["codes"])),
            fields=tuple(TextField(str(f["name"]), float(f["token_share"]), float(f["boost"])) for f in data["fields"]),
            max_length=int(data["max_length"]),
            prune=str(data["prune"]),
            naming=str(data["naming"]),
            codec=str(data["codec"]),
            sparse_boost=float(data["sparse_boost"]),
            rerank_weight=float(data["rerank"]["weight"]),
            rerank_window=int(data["rerank"]["window"]),
            chunks=Chunks(int(chunks.get("most", 1)), int(chunks.get("overlap", 0))),
        )


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document with its neural part, ready to be written.

    `source` holds the user's own fields only. `features`, `terms` and `codes` are
    None while `state` is not ``ok`` (`codes` also where the codec is ``none``).
    """

    id: str
    source: Json
    hash: str
    state: State = "ok"
    features: Mapping[str, float] | None = None
    terms: bytes | None = None
    codes: bytes | None = None


@dataclass(frozen=True, slots=True)
class Existing:
    """What an index holds of an id; `hash` is "" where cherche never encoded it."""

    id: str
    source: Json
    hash: str = ""
    state: State | None = None
    terms: bytes | None = None
    codes: bytes | None = None


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What the engine said of one document: acknowledged, or why not."""

    id: str
    error: ChercheError | None = None


@dataclass(frozen=True, slots=True)
class SparseClause:
    """One weighted query term: vocabulary id, feature name, weight."""

    id: int
    name: str
    weight: float


@dataclass(frozen=True, slots=True)
class Scope:
    """Concrete indices of another model, and the query's terms as that model weighs them."""

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
    others : tuple of Scope
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
    others: tuple[Scope, ...] = ()


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
class EngineInfo:
    """Product as people write it, version and limits of an engine."""

    product: str
    version: str
    max_clauses: int


@dataclass(frozen=True, slots=True)
class SetupPlan:
    """Requests that set an index up, in order; `warnings` are for people."""

    requests: tuple[Json, ...]
    documents: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IndexStats:
    """Documents of an index: all, encoded, pending."""

    documents: int
    encoded: int
    pending: int


@dataclass(frozen=True, slots=True)
class Gaps:
    """Documents that have text and are searched by BM25 alone, or cannot be reranked.

    `untouched` were never encoded; `waiting` were stored while no model answered, or failed; `lost` were
    encoded, and another write dropped their weights; `without_codes` have weights only, in an index with codes.
    """

    untouched: int = 0
    waiting: int = 0
    lost: int = 0
    without_codes: int = 0

    @property
    def total(self) -> int:
        """All of them: no document counts twice."""
        return self.untouched + self.waiting + self.lost + self.without_codes


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """How an index is to be set up; empty, 0 and None stand for what it has, else for the model's defaults."""

    model: str = ""
    reranker: str = ""
    fields: tuple[TextField, ...] = ()
    max_length: int = 0
    prune: str = "none"
    codec: str = ""
    sparse_boost: float | None = None
    rerank_weight: float | None = None
    rerank_window: int = 0
    chunks: int = 0
    chunk_overlap: int | None = None


@dataclass(frozen=True, slots=True)
class SetupResult:
    """What setup did (`applied`) or would do; `projected_bytes` is for the documents there are."""

    plan: SetupPlan
    applied: bool
    projected_bytes: int
    fingerprint: Fingerprint
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IndexPart:
    """Concrete indices behind a name that are encoded alike; `fingerprint` is None where they are not set up."""

    names: tuple[str, ...]
    model: str
    fingerprint: Fingerprint | None


@dataclass(frozen=True, slots=True)
class IndexReport:
    """How an index was set up and what it holds.

    Attributes
    ----------
    meta : IndexMeta or None
        Of the first part that is set up; None where none is.
    parts : tuple of IndexPart
        What stands behind the name.
    replaced : tuple of str
        Indices whose place it took and that are kept for a way back.
    """

    index: str
    meta: IndexMeta | None
    stats: IndexStats
    engine: EngineInfo
    served: bool
    findings: tuple[str, ...] = ()
    parts: tuple[IndexPart, ...] = ()
    replaced: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceDocument:
    """A document as it came: `raw` is the bytes of one JSON object."""

    id: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What became of one document of a feed."""

    id: str
    outcome: Outcome
    error: ChercheError | None = None
    truncated: bool = False
    tokens: int = 0
    terms: int = 0
    bytes: int = 0
    foreign: bool = False


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
