"""Filters over a document's JSON: a small subset of Query DSL; anything else is an error.

Supported: ``match_all``, ``ids``, ``exists``, ``term``, ``terms``, ``range``,
``bool`` (must, filter, should, must_not, minimum_should_match as a whole number).

Values are compared as they are in the document: numbers with numbers, strings with whole strings, case-sensitive
as in a cluster's ``keyword`` field; so a trailing ``.keyword`` names the field itself. A list matches if one item
does; dots lead into objects. Date arithmetic needs a cluster.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sidecar.errors import ChercheError, invalid, quoted
from sidecar.values.documents import Json

Predicate = Callable[[str, Json], bool]

SUPPORTED = "match_all, ids, exists, term, terms, range and bool"
_BOUNDS: dict[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def compile_filter(clause: object) -> Predicate:
    """Compile a clause, or a list of clauses that must all hold, into a predicate of id and source.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT naming what is not supported.

    >>> recent = compile_filter({"range": {"year": {"gte": 2020}}})
    >>> recent("1", {"year": 2021}), recent("2", {"year": "2021"})
    (True, False)
    """
    if isinstance(clause, list):
        return _all([compile_filter(item) for item in clause])
    if not isinstance(clause, Mapping) or len(clause) != 1:
        raise _unsupported(f"a filter clause is an object with one key, not {quoted(clause)}")
    ((kind, body),) = clause.items()
    if kind not in _CLAUSES:
        raise _unsupported(f"filter {quoted(kind)} needs a cluster")
    if not isinstance(body, Mapping):
        raise _unsupported(f"filter {quoted(kind)} takes an object, not {quoted(body)}")
    return _CLAUSES[kind](body)


def values(source: Json, path: str) -> Iterator[Any]:
    """Scalars of a field: lists are flattened, dots lead into objects.

    >>> list(values({"a": [{"b": 1}, {"b": [2, 3]}]}, "a.b"))
    [1, 2, 3]
    """
    if path in source:
        yield from _scalars(source[path])
        return
    head, dot, rest = path.partition(".")
    inner = source.get(head)
    if rest == "keyword":
        yield from _scalars(inner)
    if not dot:
        return
    for item in inner if isinstance(inner, list) else [inner]:
        if isinstance(item, Mapping):
            yield from values(item, rest)


def _scalars(value: object) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _scalars(item)
    elif value is not None:
        yield value


def _match_all(body: Json) -> Predicate:
    _only(body, "match_all", ())
    return lambda id, source: True


def _ids(body: Json) -> Predicate:
    _only(body, "ids", ("values",))
    wanted = frozenset(map(str, _listed(body.get("values"), "ids.values")))
    return lambda id, source: id in wanted


def _exists(body: Json) -> Predicate:
    _only(body, "exists", ("field",))
    path = str(body.get("field", ""))
    return lambda id, source: next(values(source, path), None) is not None


def _term(body: Json) -> Predicate:
    path, wanted = _field(body, "term")
    if isinstance(wanted, Mapping):
        _only(wanted, "term", ("value",))
        wanted = wanted.get("value")
    return _any_of(path, [wanted])


def _terms(body: Json) -> Predicate:
    path, wanted = _field(body, "terms")
    return _any_of(path, _listed(wanted, f"terms.{path}"))


def _any_of(path: str, wanted: list[Any]) -> Predicate:
    for value in wanted:
        if not isinstance(value, str | int | float):
            raise _unsupported(f"field {quoted(path)} is compared with strings, numbers and booleans only")
    accepted = frozenset(map(_typed, wanted))
    return lambda id, source: any(
        _typed(value) in accepted for value in values(source, path) if not isinstance(value, Mapping)
    )


def _typed(value: Any) -> tuple[bool, Any]:  # noqa: ANN401  # any JSON scalar
    """A key that distinguishes true from 1, which are equal in Python."""
    return isinstance(value, bool), value


def _range(body: Json) -> Predicate:
    path, bounds = _field(body, "range")
    if not isinstance(bounds, Mapping):
        raise _unsupported(f"range over {quoted(path)} takes an object of gt, gte, lt, lte")
    _only(bounds, "range", tuple(_BOUNDS))
    tests = [(_BOUNDS[name], _bound(path, value)) for name, value in bounds.items() if value is not None]
    return lambda id, source: any(
        all(_comparable(value, bound) and test(value, bound) for test, bound in tests) for value in values(source, path)
    )


def _bound(path: str, value: object) -> float | str:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _unsupported(f"range over {quoted(path)} takes numbers or strings, not {quoted(value)}")
    if isinstance(value, str) and (value.startswith("now") or "||" in value):
        raise _unsupported(f"date arithmetic in range over {quoted(path)} needs a cluster")
    return value


def _comparable(value: object, bound: float | str) -> bool:
    if isinstance(bound, str):
        return isinstance(value, str)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _bool(body: Json) -> Predicate:
    _only(body, "bool", ("must", "filter", "should", "must_not", "minimum_should_match"))
    needed = [*_clauses(body, "must"), *_clauses(body, "filter")]
    optional, excluded = _clauses(body, "should"), _clauses(body, "must_not")
    least = body.get("minimum_should_match", 0)
    if isinstance(least, bool) or not isinstance(least, int) or least < 0:
        raise _unsupported("minimum_should_match must be a whole number")
    # As in Lucene: where nothing else has to match, one should clause does, whatever the minimum is.
    least = max(least, int(bool(optional) and not needed))

    def holds(id: str, source: Json) -> bool:
        return (
            all(test(id, source) for test in needed)
            and not any(test(id, source) for test in excluded)
            and sum(test(id, source) for test in optional) >= least
        )

    return holds


def _clauses(body: Json, name: str) -> list[Predicate]:
    listed = body.get(name, [])
    return [compile_filter(item) for item in (listed if isinstance(listed, list) else [listed])]


def _all(tests: list[Predicate]) -> Predicate:
    return lambda id, source: all(test(id, source) for test in tests)


def _field(body: Json, kind: str) -> tuple[str, Any]:
    if len(body) != 1:
        raise _unsupported(f"{kind} takes one field, not {', '.join(map(str, body)) or 'none'}")
    ((path, value),) = body.items()
    return str(path), value


def _listed(value: object, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise _unsupported(f"{name} takes a list, not {quoted(value)}")
    return value


def _only(body: Json, kind: str, known: tuple[str, ...]) -> None:
    if unknown := [str(key) for key in body if key not in known]:
        raise _unsupported(f"{kind} with {', '.join(unknown)} needs a cluster")


def _unsupported(reason: str) -> ChercheError:
    return invalid(reason, f"the embedded engine filters by {SUPPORTED}")


_CLAUSES: dict[str, Callable[[Json], Predicate]] = {
    "match_all": _match_all,
    "ids": _ids,
    "exists": _exists,
    "term": _term,
    "terms": _terms,
    "range": _range,
    "bool": _bool,
}
