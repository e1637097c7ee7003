"""How an index stores the hash and the state of a document, so that nothing a person types finds them. Pure.

A search that names no field, or ``*``, is for every field that can be searched for words. So the state is a feature of
a `rank_features` field, which only a query naming it finds, and the hash a `binary` value, which none finds. Earlier
releases kept both as keywords: those are read too, and count as `exposed` until a backfill has moved them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, cast, get_args

from sidecar.values.documents import HASH, OLD_HASH, OLD_STATE, OWN_FIELDS, STATE, Json, State

STATES: tuple[State, ...] = get_args(State)
FIELDS = (HASH, STATE, OLD_HASH, OLD_STATE)
PROPERTIES: Mapping[str, Json] = {
    # A hash in hexadecimal is base64 as it stands, so that sources and doc values show the same characters.
    HASH: {"type": "binary", "doc_values": True},
    STATE: {"type": "rank_features"},
}


@dataclass(frozen=True, slots=True)
class Note:
    """What a document says of its neural part; `exposed` where it says so in keywords."""

    hash: str
    state: State | None
    exposed: bool


def written(hash: str, state: State | None) -> dict[str, Any]:
    """The two fields of a document.

    The state lies in a list, which an update replaces: in an object the feature of the state before would stay.

    >>> written("", "pending")
    {'cherche_digest': None, 'cherche_status': [{'pending': 1}]}
    """
    # No null in place of a state, which rank_features refuse.
    return {HASH: hash or None, STATE: [] if state is None else [{state: 1}]}


def hash_of(source: Json) -> str:
    """What `read` says of the hash alone.

    >>> hash_of({"cherche_digest": "aa", "cherche_status": [{"ok": 1}]}), hash_of({})
    ('aa', '')
    """
    return str(source.get(OLD_HASH if _is_old(source) else HASH) or "")


def read(source: Json) -> Note:
    """What the ``_source`` of a document says.

    >>> read({"cherche_digest": "aa", "cherche_status": [{"ok": 1}]})
    Note(hash='aa', state='ok', exposed=False)
    >>> read({"cherche_hash": "aa", "cherche_state": "ok"})
    Note(hash='aa', state='ok', exposed=True)
    """
    exposed = OLD_HASH in source or OLD_STATE in source
    if _is_old(source):
        old = source.get(OLD_STATE)
        return Note(hash_of(source), cast(State, old) if old in STATES else None, exposed)
    held = source.get(STATE)
    marks = [mark for mark in (held if isinstance(held, list) else [held]) if isinstance(mark, Mapping)]
    state = next((one for one in STATES if any(one in mark for mark in marks)), None)
    return Note(hash_of(source), state, exposed)


def _is_old(source: Json) -> bool:
    """Whether only the fields of earlier releases say something."""
    return source.get(STATE) is None and (OLD_HASH in source or OLD_STATE in source)


def hidden(source: Json) -> tuple[str, ...]:
    """Which of hash and state an index leaves out of ``_source``, where all that reads documents looks for them.

    Parameters
    ----------
    source : mapping
        ``_source`` of the mapping.

    >>> hidden({"excludes": ["cherche_*"]}), hidden({"includes": ["cherche_digest"]}), hidden({})
    (('cherche_digest', 'cherche_status'), ('cherche_status',), ())
    """
    paths = {HASH: [HASH], STATE: [f"{STATE}.{state}" for state in STATES]}
    return tuple(name for name, held in paths.items() if any(leaves_out(source, path) for path in held))


def leaves_out(source: Json, path: str) -> bool:
    """Whether ``_source`` of a mapping leaves a field out.

    >>> leaves_out({"includes": ["parts"], "excludes": ["parts.note"]}, "parts.body")
    False
    """
    includes = source.get("includes", ())
    return _is_named(path, source.get("excludes", ())) or (bool(includes) and not _is_named(path, includes))


def lost(patterns: Sequence[str], properties: Json) -> list[str]:
    """Those of ``_source.excludes`` that keep a mapped field of the user's out: what is not mapped is nowhere anyway.

    >>> lost(["raw", "old_*", "cherche_*"], {"raw": {"type": "text"}, "cherche_codes": {"type": "binary"}})
    ['raw']
    """
    users = [path for path in _paths(properties) if path.partition(".")[0] not in OWN_FIELDS]
    return [pattern for pattern in patterns if any(_is_named(path, [pattern]) for path in users)]


def _paths(properties: Json, above: str = "") -> Iterator[str]:
    for name, spec in properties.items():
        yield f"{above}{name}"
        yield from _paths(spec.get("properties", {}), f"{above}{name}.")


def _is_named(path: str, patterns: Sequence[str]) -> bool:
    """Whether a pattern is of a field or of an object that it lies in."""
    steps = path.split(".")
    paths = [".".join(steps[:end]) for end in range(1, len(steps) + 1)]
    return any(fnmatchcase(each, pattern) for each in paths for pattern in patterns)


def is_in(*states: State) -> dict[str, Any]:
    """Query for the documents of some states, whichever way they are stored."""
    features = [{"rank_feature": {"field": f"{STATE}.{state}", "linear": {}}} for state in states]
    return {"bool": {"should": [*features, {"terms": {OLD_STATE: list(states)}}]}}


def is_known() -> dict[str, Any]:
    """Query for the documents that cherche wrote."""
    # No `exists` on rank_features: OpenSearch and Elasticsearch refuse it.
    return {
        "bool": {"should": [is_in(*STATES), *({"exists": {"field": name}} for name in (HASH, OLD_HASH, OLD_STATE))]}
    }


def is_exposed() -> dict[str, Any]:
    """Query for the documents whose hash or state are keywords."""
    return {"bool": {"should": [{"exists": {"field": name}} for name in (OLD_HASH, OLD_STATE)]}}
