"""Compiling a search body for this engine, and combining both parts of the score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cherche_models import fuse
from cherche_models.fuse import Ranks
from sidecar.engines.embedded.filters import Predicate, compile_filter
from sidecar.engines.embedded.lexical import MAX_WORDS, LexicalQuery, words
from sidecar.engines.embedded.postings import top
from sidecar.errors import ChercheError, invalid
from sidecar.values.documents import Json
from sidecar.values.first_stage import Query
from sidecar.values.index import TextField
from sidecar.values.search import TEXT_SLOT

_READ = ("query", "filter", "track_total_hits")


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """A compiled query: its lexical part, its sparse part and its filter."""

    lexical: LexicalQuery | None
    term_ids: NDArray[np.int64]
    term_weights: NDArray[np.float64]
    allowed: Predicate | None
    warnings: tuple[str, ...] = ()


def compile_query(query: Query, fields: Sequence[str]) -> QueryPlan:
    """Compile a query for an index with these searched fields.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for what needs a cluster, for fields that are not searched, and
        for weights that are not above 0.
    """
    if unknown := [key for key in query.body if key not in _READ]:
        raise _needs_cluster(", ".join(map(repr, unknown)))
    clauses = () if query.mode == "bm25" else query.clauses
    for clause in clauses:
        if not (isfinite(clause.weight) and clause.weight > 0):
            raise invalid(f"query term {clause.name!r} has weight {clause.weight}: weights are above 0")
    # In mode sparse the caller's query scores nothing, but its condition holds; what cannot be read cannot hold.
    reads_text = query.mode != "sparse" or "query" in query.body
    lexical = _lexical(query, fields) if reads_text else None
    cut = lexical is not None and len(lexical.words) == MAX_WORDS
    return QueryPlan(
        lexical,
        np.array([clause.id for clause in clauses], np.int64),
        np.array([clause.weight for clause in clauses], np.float64),
        compile_filter(query.body["filter"]) if query.body.get("filter") is not None else None,
        (f"only the first {MAX_WORDS} words of the query were searched",) if cut else (),
    )


def _lexical(query: Query, fields: Sequence[str]) -> LexicalQuery:
    clause = query.body.get("query")
    if clause is None or isinstance(clause, str):
        chosen = query.fields or tuple(TextField(name) for name in fields)
        text = query.text if clause is None else clause.replace(TEXT_SLOT, query.text)
        return LexicalQuery(words(text), _searched({f.name: f.boost for f in chosen}, fields))
    if not isinstance(clause, Mapping) or len(clause) != 1:
        raise _unsupported_query(clause)
    ((kind, body),) = clause.items()
    if kind == "match":
        options, boosts = _match(body)
    elif kind == "multi_match":
        options, boosts = _multi_match(body, query.fields, fields)
    else:
        raise _unsupported_query(clause)
    return LexicalQuery(
        words(options["query"].replace(TEXT_SLOT, query.text)),
        _searched(boosts, fields),
        _all_words(options.get("operator", "or")),
        _tie_breaker(options.get("tie_breaker", 0.0)),
    )


def _match(body: object) -> tuple[Json, dict[str, float]]:
    if not isinstance(body, Mapping) or len(body) != 1:
        raise _unsupported_query({"match": body})
    ((name, options),) = body.items()
    if isinstance(options, str):
        options = {"query": options}
    _check_options(options, "match", ("query", "operator"))
    return options, {str(name): 1.0}


def _multi_match(body: object, chosen: Sequence[TextField], fields: Sequence[str]) -> tuple[Json, dict[str, float]]:
    options = body if isinstance(body, Mapping) else {}
    _check_options(options, "multi_match", ("query", "fields", "operator", "tie_breaker"))
    named = options.get("fields")
    if named is None or named == []:  # in Query DSL too an empty list names none
        boosts = {f.name: f.boost for f in chosen} or dict.fromkeys(fields, 1.0)
    elif isinstance(named, list) and all(isinstance(name, str) for name in named):
        boosts = dict(map(_boosted, named))
    else:
        raise invalid("multi_match.fields takes a list of names", 'write ["title^2", "text"]')
    return options, boosts


def _check_options(options: Any, kind: str, known: tuple[str, ...]) -> None:  # noqa: ANN401  # any JSON
    if not isinstance(options, Mapping) or not isinstance(options.get("query"), str):
        raise invalid(f"{kind} has no query text", f'write "query": "{TEXT_SLOT}"')
    if unknown := [str(key) for key in options if key not in known]:
        raise _needs_cluster(f"{kind} with {', '.join(unknown)}")


def _boosted(name: str) -> tuple[str, float]:
    """Read ``title^2``."""
    field, caret, boost = name.partition("^")
    try:
        return field, float(boost) if caret else 1.0
    except ValueError:
        raise invalid(f"boost {boost!r} of field {field!r} is not a number") from None


def _searched(boosts: Mapping[str, float], fields: Sequence[str]) -> Mapping[str, float]:
    if unknown := [name for name in boosts if name not in fields]:
        raise invalid(
            f"field {unknown[0]!r} is not searched, only {', '.join(fields)}",
            f"set the index up with --fields {','.join([*fields, unknown[0]])}",
        )
    if wrong := [name for name, boost in boosts.items() if not (isfinite(boost) and boost >= 0)]:
        raise invalid(f"boost {boosts[wrong[0]]} of field {wrong[0]!r} is not a number ≥ 0")
    return boosts


def _all_words(operator: object) -> bool:
    if str(operator).lower() not in ("and", "or"):
        raise invalid(f"operator {operator!r} is unknown", 'use "and" or "or"')
    return str(operator).lower() == "and"


def _tie_breaker(value: object) -> float:
    """Share of the fields that match less well: none unless given, as in Query DSL."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise invalid(f"tie_breaker {value!r} is not a number from 0 to 1")
    return float(value)


def _unsupported_query(clause: object) -> ChercheError:
    kind = next(iter(clause), "") if isinstance(clause, Mapping) else type(clause).__name__
    return invalid(
        f"query {kind!r} needs a cluster",
        "the embedded engine takes a text, match or multi_match; put conditions into filter",
    )


def _needs_cluster(what: str) -> ChercheError:
    return invalid(f"{what} needs a cluster", "leave it out, or use --engine opensearch")


@dataclass(frozen=True, slots=True, eq=False)
class ScoreParts:
    """Both parts of every document's score, and which documents are hits.

    Attributes
    ----------
    lexical, sparse : float64 arrays, shape (documents,)
        0 where a part does not match.
    members : int64 array
        Positions of the hits, ascending.
    """

    lexical: NDArray[np.float64]
    sparse: NDArray[np.float64]
    members: NDArray[np.int64]

    @property
    def scores(self) -> NDArray[np.float64]:
        """Total score of every document."""
        return self.lexical + self.sparse


def combine(
    query: Query,
    lexical: tuple[NDArray[np.float64], NDArray[np.bool_]],
    products: NDArray[np.float64],
    allowed: NDArray[np.bool_] | None,
) -> ScoreParts:
    """Score = BM25 + sparse_boost · dot product; mode and match set of the query decide which documents are hits.

    Parameters
    ----------
    query : Query
    lexical : BM25 of every document (0 where it does not match), and which match
    products : float64 array, shape (documents,)
    allowed : bool array, shape (documents,), or None for all
    """
    bm25, matched = lexical
    if query.mode == "sparse":
        bound = matched if query.match_set == "lexical" and "query" in query.body else np.True_
        bm25, matched = np.zeros_like(bm25), (products > 0) & bound
    elif query.mode == "hybrid" and query.match_set == "union":
        matched = matched | (products > 0)
    if allowed is not None:
        matched = matched & allowed
    return ScoreParts(bm25, query.sparse_boost * products, np.flatnonzero(matched))


def by_ranks(query: Query, parts: ScoreParts, ids: Sequence[str]) -> tuple[list[int], dict[int, Ranks]]:
    """Positions in the order of both parts' reciprocal ranks, ties by id; and the ranks of each."""
    matching = ((part, parts.members[part[parts.members] > 0]) for part in (parts.lexical, parts.sparse))
    found = fuse.ranks([top(part, members, ids, query.fusion_window) for part, members in matching])
    scores = {position: fuse.reciprocal(ranks, query.rank_constant) for position, ranks in found.items()}
    return sorted(found, key=lambda position: (-scores[position], ids[position])), found


def projected(source: Json, names: Sequence[str]) -> Json:
    """The named fields of a document; all where none are named."""
    return {name: source[name] for name in names if name in source} if names else source
