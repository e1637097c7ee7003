"""Documents: as they come, as they are stored, and what was done with them. Frozen, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sidecar.errors import ChercheError

Json = Mapping[str, Any]
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
class Version:
    """The last write of a document: where the document lies, and what a guarded write names.

    Attributes
    ----------
    seq_no, term : int
        Sequence number and primary term.
    index, routing : str
        The concrete index, and the routing value or "".
    weights_in_source : bool
        Whether its weights lie in ``_source``, where a partial document would be merged with them.
    """

    seq_no: int
    term: int
    index: str = ""
    routing: str = ""
    weights_in_source: bool = False


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document and its neural part: as an index holds it, or as it is to be written.

    Attributes
    ----------
    source : mapping
        The user's own fields only: all of them, or those that the reader named.
    hash : str
        Of the text that the neural part is of; "" where there is none.
    state : State or None
        None where cherche never wrote the document.
    features : mapping or None
        Weight by feature name. None in whatever was read: engines do not give features back.
    terms, codes : bytes or None
        The weights packed, and the token codes. None where `state` is not ``ok``, where they were not read, and
        `codes` also where the codec is ``none``.
    is_complete : bool or None
        Whether state, packed terms and (where the index has them) codes are in place, as the engine found it. None
        in what is to be written, and where terms and codes themselves were read.
    version : Version or None
        None where it was not read, and in what is to be written over whatever is there.
    """

    id: str
    source: Json
    hash: str = ""
    state: State | None = None
    features: Mapping[str, float] | None = None
    terms: bytes | None = None
    codes: bytes | None = None
    is_complete: bool | None = None
    version: Version | None = None


def version_of(document: StoredDocument) -> Version:
    """The last write of a document that was read for a guarded write.

    Raises
    ------
    ValueError
        Where it was read without its version.
    """
    if document.version is None:
        raise ValueError(f"document {document.id!r} was read without its version")
    return document.version


@dataclass(frozen=True, slots=True)
class WriteResult:
    """Result of writing one document: acknowledged, or the error."""

    id: str
    error: ChercheError | None = None


@dataclass(frozen=True, slots=True)
class SourceDocument:
    """A document as it came: `raw` is the bytes of one JSON object."""

    id: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class IngestResult:
    """Result of one document of a feed."""

    id: str
    outcome: Outcome
    error: ChercheError | None = None
    truncated: bool = False
    tokens: int = 0
    terms: int = 0
    bytes: int = 0
    unknown_language: bool = False


def value_at(source: Json, name: str) -> Any:  # noqa: ANN401  # any JSON value
    """A field by its name, or by a path through objects and lists of objects, as the engine's own mappings name it.

    >>> value_at({"parts": [{"body": "a"}, {"body": ["b", "c"]}, {}]}, "parts.body")
    ['a', 'b', 'c']
    """
    head, _, rest = name.partition(".")
    if name in source or not rest:
        return source.get(name)
    inner = source.get(head)
    if isinstance(inner, Mapping):
        return value_at(inner, rest)
    if not isinstance(inner, list):
        return None
    found = [value_at(part, rest) for part in inner if isinstance(part, Mapping)]
    return [each for value in found if value is not None for each in (value if isinstance(value, list) else [value])]
