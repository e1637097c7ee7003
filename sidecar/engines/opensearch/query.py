"""A first stage as a search body: one query, two named clauses. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cherche_models.lexical import TIE_BREAKER
from sidecar.engines.opensearch import bookkeeping, seismic
from sidecar.engines.opensearch.values import JsonValue
from sidecar.errors import invalid
from sidecar.values.clauses import SPARSE, heaviest, sparse_clause, weighted_sum
from sidecar.values.documents import CODES, OWN_FIELDS, RANK_FEATURES, SEISMIC, TERMS, Json
from sidecar.values.first_stage import Query, SparseClause
from sidecar.values.search import TEXT_SLOT

LEXICAL = "cherche_lexical"

_OURS = {
    "size": "size",
    "from": "size and a page token",
    "pit": "a page token",
    "include_named_queries_score": "the parts of each hit's score",
}
_NOT_BODY = ("query", "filter", "_source", "docvalue_fields")
# These stand at the top of a search, where no filter can be put around them.
_OUTERMOST = ("hybrid", "retriever", "knn", "rank", "sub_searches")
# Beside these a hit's score is the sum of both clauses. Others change it (rescore, indices_boost, knn), take it away
# (sort), or answer hits of hits that name both parts (collapse).
_OF_THE_QUERY = ("query", "filter", "post_filter", "min_score", "runtime_mappings", "derived")
_OF_A_HIT = ("_source", "docvalue_fields", "fields", "highlight", "explain")
_KEEPS_THE_SUM = frozenset((*_OF_THE_QUERY, *_OF_A_HIT, "aggs", "aggregations", "track_total_hits", "timeout"))


def search_body(
    query: Query, clauses: Sequence[SparseClause], kind: str = RANK_FEATURES, *, lean: bool = False
) -> dict[str, Any]:
    """Write the body of a search.

    Parameters
    ----------
    query : Query
    clauses : sequence of SparseClause
        What is left of ``query.clauses`` after `heaviest`.
    kind : str
        Type of the field that holds the weights, where it is not Seismic's.
    lean : bool
        Whether sources are known to hold nothing large of ours: whoever reads the reply drops what they do hold.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT where the user's body sets what belongs to the request itself.
    """
    for key, instead in _OURS.items():
        if key in query.body:
            raise invalid(f"the search body sets {key!r}", f"use {instead} of the request instead")
    body = {key: value for key, value in query.body.items() if key not in _NOT_BODY}
    if query.match_set == "none":
        body |= _as_written(query)
    else:
        found_by, left = heaviest(clauses, first_terms(query, clauses) or len(clauses))
        body["query"] = _first_stage(query, found_by, kind)
        if left:
            # Those that found nothing: their sum is what the first score lacks (by default the two are added).
            others = [one for one in clauses if one not in found_by]
            rest = weighted_sum(others, query.sparse_boost, kind)
            body["rescore"] = {"window_size": query.candidates, "query": {"rescore_query": rest}}
        if _limits_lexical(query, clauses):
            del body["min_score"]
    body["size"], body["from"] = query.size, query.offset
    body["_source"] = _source(query, lean=lean)
    if fields := _docvalue_fields(query):
        body["docvalue_fields"] = fields
    if query.timeout is not None:
        body.setdefault("timeout", f"{max(1, int(query.timeout * 1000))}ms")
    return body


def says_sum(query: Query) -> bool:
    """Whether the score of a hit is the sum of its parts, so that the lexical clause alone is named.

    For each hit a cluster scores each named clause once more, and the sparse one has many times as many terms.
    """
    has_both = query.mode == "hybrid" and bool(query.clauses) and query.match_set != "none"
    # Which hits Seismic found is read from its name.
    return has_both and query.weights != SEISMIC and _KEEPS_THE_SUM.issuperset(query.body)


def first_terms(query: Query, clauses: Sequence[SparseClause]) -> int:
    """How many clauses find candidates; 0 where all find hits."""
    return query.first_terms if query.match_set == "union" and len(clauses) > query.first_terms else 0


def sparse_parts_body(query: Query, clauses: Sequence[SparseClause], ids: Sequence[str]) -> dict[str, Any]:
    """Write a search that scores the sparse clause alone for given ids: for servers without named scores."""
    # Never `sparse_vector`: servers that can query it (8.15) have named scores (8.8).
    wanted = {"bool": {"must": [_sparse(query, clauses, RANK_FEATURES)], "filter": [{"ids": {"values": list(ids)}}]}}
    boosts = {key: query.body[key] for key in ("indices_boost",) if key in query.body}
    return {"query": wanted, "size": len(ids), "_source": False, "track_total_hits": False, **boosts}


def _sparse(query: Query, clauses: Sequence[SparseClause], kind: str) -> dict[str, Any]:
    """The sparse clause; where indices of other models are searched too, each with its own weights."""
    if not query.others:
        return sparse_clause(clauses, query.sparse_boost, kind)
    scopes = [(query.names, clauses), *((other.names, other.clauses) for other in query.others)]
    sums = []
    for names, some in scopes:
        if some:
            weighted = weighted_sum(some, query.sparse_boost, kind)
            sums.append({"bool": {"must": [weighted], "filter": [{"terms": {"_index": list(names)}}]}})
    return {"bool": {"should": sums, "_name": SPARSE}} if sums else {"match_none": {}}


def lexical_reserve(query: Query) -> int:
    """Clauses to leave for the lexical part, an estimate, since analyzers run in the cluster; and for other models."""
    others = sum(len(other.clauses) + 1 for other in query.others)
    if query.mode == "sparse":
        return others
    return others + _lexical_clauses(query)


def _lexical_clauses(query: Query) -> int:
    # Guesses: the engine halves the sparse clauses where the cluster still refuses.
    return 128 if "query" in query.body else 16 + 2 * len(query.text.split()) * max(1, len(query.fields))


def fill_slots(value: JsonValue, text: str) -> JsonValue:
    """Replace ``{{text}}`` in every string of a JSON value.

    >>> fill_slots({"match": {"title": "{{text}}"}}, 'a "b"')
    {'match': {'title': 'a "b"'}}
    """
    if isinstance(value, str):
        return value.replace(TEXT_SLOT, text)
    if isinstance(value, dict):
        return {key: fill_slots(inner, text) for key, inner in value.items()}
    if isinstance(value, list):
        return [fill_slots(inner, text) for inner in value]
    return value


def _first_stage(query: Query, clauses: Sequence[SparseClause], kind: str) -> dict[str, Any]:
    users = lexical_clause(query)
    scored = users
    filters, must_not = _filters(query), list[Any]()
    if query.match_set == "union" and query.mode != "bm25":
        # The user's conditions hold for the hits of the sparse clause too: around both, and only there, since an engine
        # refuses a condition with inner hits that is written twice.
        filters += _clauses_of(users, "filter")
        must_not = _clauses_of(users, "must_not")
        scored = _scoring(users)
    if _limits_lexical(query, clauses):
        # The score of the sparse clause must not lift a hit above a limit of the user's query.
        scored = {"function_score": {"query": users, "min_score": query.body["min_score"]}}
    # Wrapped, since a user's query may have a name of its own.
    lexical = {"bool": {"must": [scored], "_name": LEXICAL}}
    if query.weights == SEISMIC:
        decides = query.match_set == "lexical" and (query.mode == "hybrid" or "query" in query.body)
        within = {"must": [users] if decides else [], "filter": filters, "must_not": must_not}
        # No deeper hit is found; the window of a rerank is part of the size.
        deepest = max(query.candidates, query.offset + query.size)
        sparse = seismic.clause(clauses, query.sparse_boost, deepest, _conditions(within))
    else:
        sparse = _sparse(query, clauses, kind)
    if says_sum(query):
        sparse = {name: {key: value for key, value in body.items() if key != "_name"} for name, body in sparse.items()}
    if query.mode == "sparse":
        stage: dict[str, Any] = {"must": [sparse]}
        if query.match_set == "lexical" and "query" in query.body:
            filters.append(users)
    elif query.mode == "bm25" or not clauses:
        stage = {"must": [lexical]}
    elif query.match_set == "lexical":
        stage = {"must": [lexical], "should": [sparse]}
    else:
        stage = {"should": [lexical, sparse], "minimum_should_match": 1}
    if filters:
        stage["filter"] = filters
    if must_not:
        stage["must_not"] = must_not
    return {"bool": stage}


def _conditions(parts: Json) -> Json:
    """A `bool` without its empty parts; {} where all are."""
    held = {part: list(clauses) for part, clauses in parts.items() if clauses}
    return {"bool": held} if held else {}


def _limits_lexical(query: Query, clauses: Sequence[SparseClause]) -> bool:
    """Whether `min_score` of the body is a limit of the user's query, not of the sum."""
    return "min_score" in query.body and query.mode == "hybrid" and query.match_set == "lexical" and bool(clauses)


def _as_written(query: Query) -> dict[str, Any]:
    """The user's own query, if any, and the request's filters around it."""
    users = fill_slots(query.body.get("query"), query.text)
    filters = _filters(query)
    if filters:
        written = {*query.body, *(users if isinstance(users, dict) else ())}
        outer = next((key for key in _OUTERMOST if key in written), "")
        if outer:
            raise invalid(f"a filter cannot be put around {outer!r}", f"write it inside the {outer}")
        users = {"bool": {"must": [users], "filter": filters}}
    return {} if users is None else {"query": users}


def _filters(query: Query) -> list[Any]:
    return _clauses(query.body.get("filter"))


def _clauses_of(users: JsonValue, part: str) -> list[Any]:
    """The clauses of the user's `bool`; none of any other query."""
    inner = users.get("bool") if isinstance(users, dict) else None
    return _clauses(inner.get(part)) if isinstance(inner, dict) else []


def _scoring(users: JsonValue) -> JsonValue:
    """The user's query without the conditions of its `bool`."""
    inner = users.get("bool") if isinstance(users, dict) else None
    if not isinstance(inner, dict):
        return users
    return {"bool": {part: value for part, value in inner.items() if part not in ("filter", "must_not")}}


def _clauses(given: JsonValue) -> list[Any]:
    if given is None:
        return []
    return list(given) if isinstance(given, list) else [given]


def lexical_clause(query: Query) -> JsonValue:
    """The user's query, or BM25 over the searched fields."""
    if "query" in query.body:
        return fill_slots(query.body["query"], query.text)
    fields = [field.name if field.boost == 1.0 else f"{field.name}^{field.boost:g}" for field in query.fields]
    fields_part = {"fields": fields} if fields else {}
    return {"multi_match": {"query": query.text, **fields_part, "tie_breaker": TIE_BREAKER}}


def _source(query: Query, *, lean: bool = False) -> JsonValue:
    """Of our fields hash and state travel, where they are read; what else does is the caller's choice."""
    given = query.body.get("_source")
    if given is False and not query.source_fields:
        return False
    named = given if isinstance(given, dict) else {"includes": [] if isinstance(given, bool) else _listed(given)}
    asked = list(query.source_fields) or _listed(named.get("includes", named.get("include")))
    includes = [field for field in asked if field not in OWN_FIELDS]
    read = bookkeeping.FIELDS if query.with_state else ()
    # Empty `includes` would mean every field.
    if asked and not includes and not read:
        return False
    if asked:
        includes += read
    # `include` and `exclude` are older spellings that clusters still accept.
    users = _listed(named.get("excludes", named.get("exclude")))
    if lean and not includes and not users:
        # A cluster passes whole sources on as bytes; it parses and writes each that it is to filter.
        return True
    excludes = [*users, *(one for one in OWN_FIELDS if one not in read)]
    return {"includes": includes, "excludes": excludes} if includes else {"excludes": excludes}


def _docvalue_fields(query: Query) -> list[Any]:
    with_terms = query.with_terms or (query.with_state and not query.needs_codes)
    own = [name for name, wanted in ((TERMS, with_terms), (CODES, query.with_codes)) if wanted]
    return [*query.body.get("docvalue_fields", ()), *own]


def _listed(value: JsonValue) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)
