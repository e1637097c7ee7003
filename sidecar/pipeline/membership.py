"""What a search body may hold beside its query, and which order it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sidecar.errors import invalid
from sidecar.values.documents import Json
from sidecar.values.search import SearchRequest

_DECIDED_HERE = {
    "size": "use size",
    "from": "use a page token",
    "pit": "use a page token",
    "_source": "use source_fields",
    "docvalue_fields": "stored weights and codes are never returned",
    "stored_fields": "use source_fields",
    "explain": "use Explain",
    "search_after": "use a page token",
    "include_named_queries_score": "hits carry their parts already",
    "rescore": "use rerank",
}

_OF_A_SUM = ("sort", "collapse", "min_score")


def check_body(body: Json) -> None:
    """Refuse parts of a search body that this service decides itself, and a query that says nothing.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT naming the part and what to use instead.
    """
    if "query" in body and not body["query"]:
        raise invalid("the query of the search body is empty", "write a query, or leave it out to search for the text")
    taken = next((key for key in body if key in _DECIDED_HERE), None)
    if taken is not None:
        raise invalid(f"the search body sets {taken!r}", _DECIDED_HERE[taken])


def check_fusion(request: SearchRequest) -> None:
    """Refuse parts of a search body that have no meaning for a score of ranks.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT naming the part.
    """
    if request.fusion != "rrf" or request.mode != "hybrid":
        return
    taken = [key for key in _OF_A_SUM if key in request.body and (key != "sort" or is_sorted(request.body))]
    if taken:
        raise invalid(f"the search body sets {taken[0]!r}, which fusion rrf does not combine with", "use fusion sum")


def is_sorted(body: Json) -> bool:
    """Whether the caller asked for another order than that of falling scores.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for a sort that names nothing.

    >>> is_sorted({"sort": ["_score"]}), is_sorted({"sort": [{"year": "desc"}]})
    (False, True)
    """
    keys = _listed(body.get("sort"))
    if not keys:
        return False
    name, order = _sort_key(keys[0])
    return name != "_score" or order != "desc"


def _sort_key(key: Any) -> tuple[str, str]:  # noqa: ANN401  # any JSON value
    """Name and order of a sort key; ``_score`` descends by default."""
    if isinstance(key, str):
        return key, "desc"
    if not isinstance(key, Mapping) or len(key) != 1:
        raise invalid(f"the search body sorts by {key!r}", 'name a field: "year" or {"year": "desc"}')
    [(name, options)] = key.items()
    order = options.get("order", "desc") if isinstance(options, Mapping) else options
    return str(name), str(order)


def _listed(value: Any) -> list[Any]:  # noqa: ANN401  # any JSON value
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]
