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
