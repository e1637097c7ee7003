"""What a cluster answers, read by one rule: a part that is not of its form is an error which names that part. Pure.

A proxy, a plugin or a newer version may answer what no specification has. Nothing of it is known to be a defect of the
sidecar, and one odd item of many leaves its neighbours as they are.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sidecar.engines.opensearch.values import JsonValue
from sidecar.errors import ChercheError, unavailable
from sidecar.values.documents import Json

VERSIONED = ("_index", "_seq_no", "_primary_term")
"""What a hit or a document needs so that it can be written where it lies, over what was read."""

_SHOWN = 60  # characters of an odd part
_CAUSES = (AttributeError, OverflowError, LookupError, RecursionError, TypeError, ValueError)


def _is_whole(value: JsonValue) -> bool:
    return type(value) is int and -(2**63) <= value < 2**63


def _is_number(value: JsonValue) -> bool:
    # False for NaN too, and for whole numbers that no float holds.
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def _is_object(value: JsonValue) -> bool:
    return isinstance(value, dict)  # as JSON is parsed: asking for a Mapping takes several times as long


def _are_lists(value: JsonValue) -> bool:
    return _is_object(value) and all(isinstance(one, list) for one in value.values())


def _are_named(value: JsonValue) -> bool:
    """Names of matched clauses, or their scores by name."""
    if _is_object(value):
        return all(map(_is_number, value.values()))
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


_FORMS: Mapping[str, tuple[str, Callable[[JsonValue], bool]]] = {
    "_id": ("a text", lambda value: isinstance(value, str) and value != ""),
    "_index": ("a text", lambda value: isinstance(value, str) and value != ""),
    "_routing": ("a text", lambda value: isinstance(value, str)),
    "_version": ("a whole number", _is_whole),
    "_seq_no": ("a whole number", _is_whole),
    "_primary_term": ("a whole number", _is_whole),
    "_score": ("a number", lambda value: value is None or _is_number(value)),
    "_source": ("an object", lambda value: value is None or _is_object(value)),
    "fields": ("an object of lists", _are_lists),
    "matched_queries": ("names, or numbers by name", _are_named),
    "found": ("true or false", lambda value: isinstance(value, bool)),
}


@dataclass(frozen=True, slots=True)
class Found:
    """A search's answer: those of its hits that can be read, and what is odd about each of the others."""

    reply: Json
    hits: list[dict[str, Any]]
    oddities: tuple[str, ...]


def found(reply: JsonValue, what: str) -> Found:
    """Read the hits of a search, once for all that is done with them.

    Raises
    ------
    ChercheError
        As `sound_hits`.
    """
    sound, oddities = sound_hits(reply, what)
    return Found(reply, sound, oddities)


def hits(reply: JsonValue, what: str, needs: Sequence[str] = ()) -> Sequence[Json]:
    """The hits of a search that must be read whole: one that is missing would never be seen again.

    Parameters
    ----------
    what : str
        Names the item in errors.
    needs : sequence of str
        What each hit has beside its id.

    Raises
    ------
    ChercheError
        UNAVAILABLE naming the first odd part.
    """
    sound, oddities = sound_hits(reply, what, needs)
    if oddities:
        raise odd(what, oddities[0])
    return sound


def sound_hits(reply: JsonValue, what: str, needs: Sequence[str] = ()) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """The hits of a search that can be read, and what is odd about each of the others.

    Raises
    ------
    ChercheError
        UNAVAILABLE where there is no list of hits at all.

    >>> sound_hits({"hits": {"hits": [{"_id": "a"}, {"_source": {}}]}}, "books")
    ([{'_id': 'a'}], ('hit 1 has no _id',))
    """
    every, needed = part(reply, what, "hits", "hits", of=list), ("_id", *needs)
    checked = [(each, _oddity(each, f"hit {place}", needed)) for place, each in enumerate(every)]
    return [each for each, oddity in checked if not oddity], tuple(oddity for _, oddity in checked if oddity)


def documents(reply: JsonValue, what: str, ids: Sequence[str]) -> list[Json]:
    """The documents of a multi-get, one for each id in order; those that exist have a version.

    Raises
    ------
    ChercheError
        UNAVAILABLE where one is odd or of another id: nothing is known then, which is not "absent".
    """
    found = part(reply, what, "docs", of=list)
    if len(found) != len(ids):
        raise odd(what, f"{len(found)} documents were answered to {len(ids)} ids")
    for place, (doc, id) in enumerate(zip(found, ids, strict=True)):
        there = isinstance(doc, Mapping) and doc.get("found")
        if oddity := _oddity(doc, f"document {place}", ("_id", *(VERSIONED if there else ()))):
            raise odd(what, oddity)
        if doc["_id"] != id:
            raise odd(what, f"document {place} is {doc['_id']!r}, asked for was {id!r}")
    docs: list[Json] = found
    return docs


def outcomes(reply: JsonValue, count: int) -> list[Json]:
    """What became of each of so many actions of a bulk, in order; {} where the answer does not say it.

    >>> outcomes({"items": [{"index": {"_id": "a", "status": 201}}, None]}, 3)
    [{'_id': 'a', 'status': 201}, {}, {}]
    """
    found = reply.get("items") if isinstance(reply, Mapping) else None
    items = [_outcome(each) for each in found[:count]] if isinstance(found, list) else []
    return items + [{}] * (count - len(items))


def part(reply: JsonValue, what: str, *path: str, of: type = dict) -> Any:  # noqa: ANN401  # `of` says what it is
    """A part of an answer, an object unless `of` says otherwise.

    Raises
    ------
    ChercheError
        UNAVAILABLE naming the part that is missing, or something else.

    >>> part({"hits": {"hits": []}}, "books", "hits", "hits", of=list)
    []
    >>> part({"hits": None}, "books", "hits", "hits", of=list)
    Traceback (most recent call last):
    sidecar.errors.ChercheError: books: the cluster's answer cannot be read: "hits" is null, not an object — check \
that nothing between the sidecar and the cluster changes answers, and try again
    """
    found = reply
    for depth, key in enumerate(path):
        if not isinstance(found, Mapping):
            raise odd(what, _is_no("an object", found, path[:depth]))
        if key not in found:
            raise odd(what, f"it has no {_dotted(path[: depth + 1])}")
        found = found[key]
    if not isinstance(found, of) or (of is int and isinstance(found, bool)):
        raise odd(what, _is_no(_NAMES[of], found, path))
    return found


def objects(reply: JsonValue, what: str) -> Mapping[str, Json]:
    """An answer that holds an object for each name, as of indices.

    Raises
    ------
    ChercheError
        UNAVAILABLE naming the first that is none.
    """
    for name, each in part(reply, what).items():
        if not isinstance(each, Mapping):
            raise odd(what, _is_no("an object", each, (name,)))
    named: Mapping[str, Json] = reply
    return named


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Read parts of an answer in the block, and nothing else: what they lack is an error that names it.

    Raises
    ------
    ChercheError
        UNAVAILABLE.

    >>> with reading("books"):
    ...     {"settings": {}}["mappings"]
    Traceback (most recent call last):
    sidecar.errors.ChercheError: books: the cluster's answer cannot be read: it has no "mappings" — check \
that nothing between the sidecar and the cluster changes answers, and try again
    """
    try:
        yield
    except _CAUSES as error:
        said = f"it has no {json.dumps(str(error.args[0]))}" if isinstance(error, KeyError) and error.args else ""
        raise odd(what, said or str(error)[:_SHOWN] or type(error).__name__) from error


def odd(what: str, oddity: str) -> ChercheError:
    """The error of an answer that no cluster should give."""
    return unavailable(
        f"{what}: the cluster's answer cannot be read: {oddity}",
        "check that nothing between the sidecar and the cluster changes answers, and try again",
    )


_NAMES = {dict: "an object", list: "a list", str: "a text", int: "a whole number", bool: "true or false"}


def _outcome(each: JsonValue) -> Json:
    """What became of one action of a bulk, whatever the action was."""
    inner = next(iter(each.values()), None) if isinstance(each, Mapping) and len(each) == 1 else None
    return inner if isinstance(inner, Mapping) and _is_whole(inner.get("status")) else {}


def _oddity(each: JsonValue, name: str, needs: Sequence[str]) -> str:
    """What is odd about a hit or a document; "" for one that can be read."""
    if not _is_object(each):
        return f"{name} is {_shown(each)}, not an object"
    for key in needs:
        if key not in each:
            return f"{name} has no {key}"
    for key, (form, fits) in _FORMS.items():
        if key in each and not fits(each[key]):
            return f"{key} of {name} is {_shown(each[key])}, not {form}"
    return ""


def _is_no(form: str, found: JsonValue, path: Sequence[str]) -> str:
    return f"{_dotted(path) if path else 'it'} is {_shown(found)}, not {form}"


def _dotted(path: Sequence[str]) -> str:
    return json.dumps(".".join(path))


def _shown(value: JsonValue) -> str:
    """The beginning of a value, or of an object or a list its kind alone: it may hold somebody's text."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return json.dumps(value)[:_SHOWN]
