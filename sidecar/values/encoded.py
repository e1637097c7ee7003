"""Values that only a caller of the sidecar sees: what its answers say."""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.errors import ChercheError
from sidecar.values.documents import State
from sidecar.values.index import Fingerprint
from sidecar.values.search import Timings


@dataclass(frozen=True, slots=True)
class Text:
    """A text and the caller's id for it; `id` may be empty."""

    text: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class EncodedText:
    """One encoded text.

    Attributes
    ----------
    index : int
        Position in the request.
    id : str
    error : ChercheError or None
        Why there is nothing else.
    weights : dict of str to float, or None
        Feature name, as an index holds it, → weight.
    codes : bytes or None
        Token codes behind their header; see `cherche_models.codec`.
    tokens : int
        Tokens that were read, special ones included.
    truncated : bool
    unknown_language : bool
        The model does not know its language: there are no weights and no codes.
    """

    index: int
    id: str
    error: ChercheError | None = None
    weights: dict[str, float] | None = None
    codes: bytes | None = None
    tokens: int = 0
    truncated: bool = False
    unknown_language: bool = False


@dataclass(frozen=True, slots=True)
class EncodeResult:
    """A batch of encoded texts; `fingerprint` is None for queries."""

    items: tuple[EncodedText, ...]
    model: str
    timings: Timings
    fingerprint: Fingerprint | None = None


@dataclass(frozen=True, slots=True)
class RerankScore:
    """MaxSim of the document at `index` of the request."""

    index: int
    id: str
    score: float


@dataclass(frozen=True, slots=True)
class RerankFailure:
    """A document that could not be scored."""

    index: int
    id: str
    error: ChercheError


@dataclass(frozen=True, slots=True)
class RerankResult:
    """Scored documents in descending order of score, and those that failed."""

    scores: tuple[RerankScore, ...]
    failures: tuple[RerankFailure, ...]
    truncated: int
    model: str
    timings: Timings


@dataclass(frozen=True, slots=True)
class DumpedDocument:
    """What is stored of a document; digests are sha256, "" where there is nothing."""

    id: str
    source_json: bytes
    hash: str
    state: State | None
    terms_digest: str
    codes_digest: str
    routing: str = ""
