"""An index: how it is encoded and searched, and what it holds. Frozen, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from cherche_models.chunks import POOLINGS, RMS
from sidecar.errors import precondition
from sidecar.values.chunks import DEFAULT_CHUNKS, DEFAULT_OVERLAP, MOST_CHUNKS, Chunks
from sidecar.values.documents import RANK_FEATURES, WEIGHTS_AS, Json
from sidecar.values.options import Option

DEFAULT_FIELDS = ("title", "text")
DEFAULT_WINDOW = 100  # hits
SHORTEST = 8  # tokens: fewer hold little but a model's own special ones
DEFAULT_CODEC = "int8"
META_VERSION, SEISMIC_VERSION = 1, 2
"""Of `_meta.cherche`; the later one where releases that know one kind of weights would find nothing by them."""
ANOTHER_INDEX = "run: cherche setup NEW, _reindex into NEW, then: cherche backfill NEW"
"""Next step for an index whose mapping cannot be mended."""
NO_CODES = "none"
"""In a codec's place: no token codes are stored, and hits are encoded when they are reranked."""
STORED, ON_DEMAND = "stored", "on-demand"
"""When token codes are made: with the weights, or once a document is in a rerank window."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose cluster credentials a call uses.

    `authorization` is a ready header value (``Basic …``, ``ApiKey …``, ``Bearer …``); None
    is anonymous. Never logged, never part of an answer.
    """

    authorization: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class TextField:
    """A field that is encoded and searched."""

    name: Annotated[str, Option("Path in a document.")]
    token_share: Annotated[
        float, Option("Share of the maximum length that it may use.", least=0, most=1, unset="no limit")
    ] = 0.0
    boost: Annotated[float, Option("Factor of its BM25.", above=0)] = 1.0


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What stored weights and codes were made with; `codes` is "" where there are none."""

    sparse: str
    codes: str = ""


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
    codec: str = DEFAULT_CODEC
    sparse_boost: float = 1.0
    rerank_weight: float = 0.5
    rerank_window: int = DEFAULT_WINDOW
    version: int = META_VERSION
    chunks: Chunks = field(default_factory=Chunks)
    first_terms: int = 0
    weights: str = RANK_FEATURES
    codes: str = ""
    """`ON_DEMAND`; "" for `STORED`, as in all indices of earlier releases."""

    @property
    def stores_codes(self) -> bool:
        """Whether a document without codes lacks something."""
        return bool(self.fingerprint.codes) and self.codes != ON_DEMAND

    @property
    def makes_codes(self) -> bool:
        """Whether codes are made once a document is in a rerank window."""
        return bool(self.fingerprint.codes) and self.codes == ON_DEMAND

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
            "version": self.version if self.weights == RANK_FEATURES else SEISMIC_VERSION,
            "model": self.model,
            "reranker": self.reranker,
            "fingerprint": {"sparse": self.fingerprint.sparse, "codes": self.fingerprint.codes},
            "fields": [{"name": f.name, "token_share": f.token_share, "boost": f.boost} for f in self.fields],
            "max_length": self.max_length,
            "chunks": self.chunks.to_json(),
            "prune": self.prune,
            "naming": self.naming,
            "codec": self.codec,
            "sparse_boost": self.sparse_boost,
            "rerank": {"weight": self.rerank_weight, "window": self.rerank_window},
            **({"first_terms": self.first_terms} if self.first_terms else {}),
            **({"weights": self.weights} if self.weights != RANK_FEATURES else {}),
            **({"codes": self.codes} if self.codes else {}),
        }

    @classmethod
    def from_json(cls, data: Json) -> IndexMeta:
        """Read `to_json`'s object back.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is not one.
        ChercheError
            FAILED_PRECONDITION if a later release wrote it.
        """
        version = int(data["version"])
        weights = str(data.get("weights", RANK_FEATURES))
        read = META_VERSION if weights == RANK_FEATURES else SEISMIC_VERSION
        if version > read:
            raise precondition(
                f"a later release set the index up: its _meta.cherche has version {version}, this one reads {read}",
                "upgrade this sidecar; those of the later release serve the index",
            )
        return cls(
            version=min(version, META_VERSION),
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
            chunks=Chunks.from_json(dict(data.get("chunks", ()))),
            first_terms=int(data.get("first_terms", 0)),
            weights=weights,
            codes=str(data.get("codes", "")),
        )


@dataclass(frozen=True, slots=True)
class IndexGroup:
    """Concrete indices behind a name that share one encoding.

    Attributes
    ----------
    names : tuple of str
    meta : IndexMeta or None
        None for those that are not set up.
    max_window : int or None
        Deepest hit that one search of them may reach; None where the engine has no such limit.
    lost : tuple of str
        Patterns of fields that ``_source`` leaves out: a document that is written anew from it loses them.
    hidden : tuple of str
        Which of hash and state ``_source`` leaves out: nobody sees whether a document is encoded.
    """

    names: tuple[str, ...]
    meta: IndexMeta | None
    max_window: int | None = None
    lost: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()


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
    """Documents that have text and are searched by BM25 alone, or cannot be reranked, or are to be written anew.

    `untouched` were never encoded; `waiting` were stored while no model answered, or failed; `lost` were
    encoded, and another write dropped their weights; `without_codes` have weights only, in an index with codes.
    `exposed` lack nothing, but hold hash and state where searches for words match them: earlier releases did.
    """

    untouched: int = 0
    waiting: int = 0
    lost: int = 0
    without_codes: int = 0
    exposed: int = 0

    @property
    def total(self) -> int:
        """All of them: no document counts twice."""
        return self.untouched + self.waiting + self.lost + self.without_codes + self.exposed


_TUNED = "the model's tuned value"
_UNCUT = {"chunks": (1,)}


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """How an index is to be set up, and the table of its options.

    Empty, 0 and None stand for what the index has; where it has nothing yet, for what the rows say.
    """

    model: Annotated[str, Option("Sparse or joint model.", metavar="NAME|PATH|ID", unset="the sidecar's default")] = ""
    reranker: Annotated[
        str,
        Option(
            "ColBERT or joint model, or any sentence encoder, whose token embeddings serve without training.",
            metavar="NAME|PATH|ID",
            unset="the model itself where it has that head",
        ),
    ] = ""
    fields: Annotated[
        tuple[TextField, ...],
        Option(
            "Fields encoded and searched, such as title:0.2^2,text: the title may use a fifth of the tokens and "
            "counts twice in BM25.",
            flags=(),
            metavar="NAME[:SHARE][^BOOST],...",
            unset=f"{' and '.join(DEFAULT_FIELDS)} where present",
        ),
    ] = ()
    max_length: Annotated[int, Option("Tokens kept per document.", least=SHORTEST, unset="the model's own maximum")] = 0
    prune: Annotated[str, Option("Pruning rule for documents, such as top_k:128 or max_ratio:0.1.")] = "none"
    codec: Annotated[str, Option("Codec of token codes.", flags=(), unset=DEFAULT_CODEC)] = ""
    codes: Annotated[
        str,
        Option(
            "When token codes are made: with every document, or once a search reranks it.",
            metavar=f"{STORED}|{ON_DEMAND}",
            unset=STORED,
            without={"codec": (NO_CODES,)},
        ),
    ] = ""
    sparse_boost: Annotated[float | None, Option("Factor of the sparse clause.", above=0, unset=_TUNED)] = None
    rerank_weight: Annotated[float | None, Option("Share of MaxSim.", least=0, most=1, unset=_TUNED)] = None
    rerank_window: Annotated[int, Option("Hits reranked.", least=1, unset=f"{DEFAULT_WINDOW}")] = 0
    first_terms: Annotated[
        int | None,
        Option(
            "Heaviest query terms that find candidates beside BM25, which all terms then score. 0: all find hits. "
            "cherche tune measures what few would lose.",
            least=0,
            unset="0",
        ),
    ] = None
    chunks: Annotated[
        int,
        Option(
            "Windows of --max-length tokens that a longer document is cut into; the rest is left out. 1: none.",
            least=1,
            most=MOST_CHUNKS,
            unset=f"{DEFAULT_CHUNKS}",
        ),
    ] = 0
    chunk_overlap: Annotated[
        int | None,
        Option("Tokens that neighbouring windows share.", least=0, unset=f"{DEFAULT_OVERLAP}", without=_UNCUT),
    ] = None
    chunk_pooling: Annotated[
        str,
        Option(
            "What makes one weight of a term's weights in all windows: their quadratic mean or their maximum.",
            metavar="|".join(POOLINGS),
            unset=RMS,
            without=_UNCUT,
        ),
    ] = ""
    weights: Annotated[
        str,
        Option(
            "Field of the weights. seismic: the sparse_vector of OpenSearch's neural-search, an approximate index "
            "for segments of a million documents and more.",
            metavar="|".join(WEIGHTS_AS),
            unset=RANK_FEATURES,
        ),
    ] = ""


def retuned(meta: IndexMeta, sparse_boost: float, rerank_weight: float, rerank_window: int) -> IndexOptions:
    """The index as it is, with other numbers for its searches."""
    return IndexOptions(
        prune=meta.prune, sparse_boost=sparse_boost, rerank_weight=rerank_weight, rerank_window=rerank_window
    )


@dataclass(frozen=True, slots=True)
class SetupResult:
    """What setup did (`applied`) or would do; `projected_bytes` is for the documents there are."""

    plan: SetupPlan
    applied: bool
    projected_bytes: int
    fingerprint: Fingerprint
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GroupSummary:
    """What the wire says of an `IndexGroup`; `model` is "" and `fingerprint` None where it is not set up."""

    names: tuple[str, ...]
    model: str
    fingerprint: Fingerprint | None


@dataclass(frozen=True, slots=True)
class IndexSummary:
    """How a concrete index stands; `finding` is what keeps it from being ready, with its next step, or ""."""

    index: str
    model: str
    reranker: str
    stats: IndexStats
    served: bool
    finding: str = ""


@dataclass(frozen=True, slots=True)
class IndexList:
    """The indices that were set up, by name, and how many others the caller may see."""

    indices: tuple[IndexSummary, ...]
    others: int = 0


@dataclass(frozen=True, slots=True)
class IndexReport:
    """How an index was set up and what it holds.

    Attributes
    ----------
    meta : IndexMeta or None
        Of the first group that is set up; None where none is.
    groups : tuple of GroupSummary
        The concrete indices behind the name.
    replaced : tuple of str
        Indices whose place it took and that are kept for a way back.
    """

    index: str
    meta: IndexMeta | None
    stats: IndexStats
    engine: EngineInfo
    served: bool
    findings: tuple[str, ...] = ()
    groups: tuple[GroupSummary, ...] = ()
    replaced: tuple[str, ...] = ()
