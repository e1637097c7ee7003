"""Documents: as they come, as they are stored, and what was done with them. Frozen, no I/O."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sidecar.errors import ChercheError

Json = Mapping[str, Any]
State = Literal["ok", "no_text", "pending", "failed"]
Outcome = Literal["encoded", "reused", "unchanged", "no_text", "failed"]
WEIGHTS, TERMS, CODES, HASH, STATE = (
    "cherche_weights",
    "cherche_terms",
    "cherche_codes",
    "cherche_digest",
    "cherche_status",
)
RANK_FEATURES, SPARSE_VECTOR, SEISMIC = "rank_features", "sparse_vector", "seismic"
"""How a mapping holds weights: ``sparse_vector`` as Elasticsearch does, ``seismic`` as OpenSearch's neural-search."""
WEIGHTS_AS = (RANK_FEATURES, SEISMIC)
"""What `setup` may be asked for."""
# Keywords of earlier releases, which searches for words match.
OLD_HASH, OLD_STATE = "cherche_hash", "cherche_state"
OWN_FIELDS = (WEIGHTS, TERMS, CODES, HASH, STATE, OLD_HASH, OLD_STATE)


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
        ``ok`` only with weights of the whole text; ``no_text`` where no encoded field holds any; None where cherche
        never wrote the document.
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
    routing : str
        The routing value that it is to be written with, or was read with; "" for none.
    exposed : bool
        Whether hash and state lie where searches for words match them, as earlier releases stored them.
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
    routing: str = ""
    exposed: bool = False


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
class ColdDocument:
    """A document of a concrete index that a search found without token codes; `hash` is of the text that it has."""

    index: str
    id: str
    routing: str
    hash: str


@dataclass(frozen=True, slots=True)
class WriteResult:
    """Result of writing one document: acknowledged, or the error."""

    id: str
    error: ChercheError | None = None


@dataclass(frozen=True, slots=True)
class SourceDocument:
    """A document as it came: `raw` is the bytes of one JSON object; `routing` is "" where it has none."""

    id: str
    raw: bytes
    routing: str = ""


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

    A key may hold dots itself and then stands for several steps. Where a path leads to several values, all of them.

    >>> value_at({"parts": [{"body": "a"}, {"body": ["b", "c"]}, {}]}, "parts.body")
    ['a', 'b', 'c']
    >>> value_at({"meta.info": {"title": "a"}}, "meta.info.title")
    'a'
    """
    found = [value for value in _values_at(source, name.split(".")) if value is not None]
    return found[0] if len(found) == 1 else _flat(found) if found else None


def _values_at(source: Json, steps: Sequence[str]) -> Iterator[Any]:
    for cut in range(len(steps), 0, -1):
        inner, rest = source.get(".".join(steps[:cut])), steps[cut:]
        if not rest:
            yield inner
        elif isinstance(inner, Mapping):
            yield from _values_at(inner, rest)
        elif isinstance(inner, list):
            parts = [part for part in _flat([inner]) if isinstance(part, Mapping)]
            yield _flat(value for part in parts for value in _values_at(part, rest))


def values_within(source: Json, name: str) -> Iterator[Any]:
    """The single values of a field, in order and null among them: those of which `text_of` makes its text.

    >>> list(values_within({"parts": [{"body": "a"}, {"body": ["b", None]}, {}]}, "parts.body"))
    ['a', 'b', None]
    """
    yield from _within(source, name.split("."))


def _within(source: Json, steps: Sequence[str]) -> Iterator[Any]:
    for cut in range(len(steps), 0, -1):
        key, rest = ".".join(steps[:cut]), steps[cut:]
        for value in _singles(source.get(key)) if key in source else ():
            if not rest:
                yield value
            elif isinstance(value, Mapping):
                yield from _within(value, rest)


def _singles(value: Any) -> Iterator[Any]:  # noqa: ANN401  # any JSON value
    if isinstance(value, list):
        for one in value:
            yield from _singles(one)
    else:
        yield value


def text_of(value: Any) -> str | None:  # noqa: ANN401  # any JSON value
    """The text that an engine's text field holds of a value; None for an object, which it refuses.

    Of a list the texts of its values, whatever its depth; null is no value; numbers and booleans are as JSON has them.

    >>> text_of(["a", None, 7, [True, 1.5]]), text_of(None), text_of([{"a": 1}])
    ('a 7 true 1.5', '', None)
    """
    parts = _flat([value])
    if any(isinstance(part, Mapping) for part in parts):
        return None
    return " ".join(map(single_text, parts))


def single_text(value: Any) -> str:  # noqa: ANN401  # a string, number or boolean
    """A value as text: numbers and booleans as JSON has them."""
    return value if isinstance(value, str) else json.dumps(value)


def _flat(values: Iterable[Any]) -> list[Any]:
    """Values, those of lists among them, without null."""
    found: list[Any] = []
    for value in values:
        if isinstance(value, list):
            found += _flat(value)
        elif value is not None:
            found.append(value)
    return found
