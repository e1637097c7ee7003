"""Both parts of a first stage on one file: scores, membership, hits."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cherche_models import fuse
from cherche_models.fuse import Ranks
from sidecar.engines.embedded import documents, indices, lexical
from sidecar.engines.embedded.indices import Index
from sidecar.engines.embedded.postings import Mirror, top
from sidecar.engines.embedded.queries import QueryPlan, ScoreParts, by_ranks, combine, compile_query, projected
from sidecar.values.documents import Json
from sidecar.values.first_stage import EngineHit, EnginePage, Hits, Query

MAX_MASKS = 16


def search(db: sqlite3.Connection, index: Index, mirror: Mirror, query: Query) -> EnginePage:
    """Run both parts of the first stage on the state that `mirror` holds; totals are exact.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for what needs a cluster; FAILED_PRECONDITION for an expired page token.
    """
    plan = compile_query(query, index.fields)
    indices.check_pit(index, query.pit)
    parts = combine(
        query,
        _lexical(db, index, mirror, plan),
        mirror.dot(plan.term_ids, plan.term_weights),
        _allowed(db, index, mirror, query, plan),
    )
    ranks: dict[int, Ranks] = {}
    if query.by_ranks:
        order, ranks = by_ranks(query, parts, mirror.ids)
    else:
        order = top(parts.scores, parts.members, mirror.ids, query.offset + query.size)
    best = order[query.offset : query.offset + query.size]
    return EnginePage(
        hits=_hits(db, mirror, query, parts, best, ranks),
        total=int(parts.members.size),
        pit=index.pit if query.pit or query.keep_pit else "",
        request=_request(index, query, plan),
        warnings=plan.warnings + _damage_warnings(mirror),
    )


def _lexical(
    db: sqlite3.Connection, index: Index, mirror: Mirror, plan: QueryPlan
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    if plan.lexical is None:
        return np.zeros(len(mirror)), np.zeros(len(mirror), np.bool_)
    return lexical.search(lexical.table(db, index.id, len(index.fields)), index.fields, plan.lexical, mirror)


def _allowed(
    db: sqlite3.Connection, index: Index, mirror: Mirror, query: Query, plan: QueryPlan
) -> NDArray[np.bool_] | None:
    """Which documents pass the filter, cached until the index changes; None without a filter."""
    test = plan.allowed
    if test is None:
        return None
    key = json.dumps(query.body["filter"], sort_keys=True)
    if key not in mirror.masks:
        # Sources come in ascending order of row, and so do positions in the mirror.
        passed = (test(id, source) for _, id, source in documents.sources(db, index.id))
        if len(mirror.masks) >= MAX_MASKS:
            mirror.masks.clear()
        mirror.masks[key] = np.fromiter(passed, np.bool_, len(mirror))
    return mirror.masks[key]


def _hits(
    db: sqlite3.Connection,
    mirror: Mirror,
    query: Query,
    parts: ScoreParts,
    best: Sequence[int],
    ranks: Mapping[int, Ranks],
) -> Hits:
    at = np.array(best, np.int64)
    rows, ids = mirror.rows[at].tolist(), [mirror.ids[position] for position in best]
    stored = documents.fetch(db, rows, terms=query.with_terms, codes=query.with_codes, needs_codes=query.needs_codes)
    # Of the best alone: what a page holds of all documents would be kept until its last hit is made.
    lexical, sparse = parts.lexical[at].tolist(), parts.sparse[at].tolist()
    places = [ranks.get(position, (None, None)) for position in best]
    if ranks:
        scores = [fuse.reciprocal(each, query.rank_constant) for each in places]
    else:
        scores = [bm25 + dot for bm25, dot in zip(lexical, sparse, strict=True)]

    def make(place: int) -> EngineHit:
        held = stored[rows[place]].document()
        return EngineHit(
            id=ids[place],
            score=scores[place],
            lexical=lexical[place],
            sparse=sparse[place],
            source=projected(held.source, query.source_fields),
            terms=held.terms,
            codes=held.codes,
            lexical_rank=places[place][0],
            sparse_rank=places[place][1],
            held=held if query.with_state else None,
        )

    return Hits(ids, scores, [stored[row].codes for row in rows], make)


def _request(index: Index, query: Query, plan: QueryPlan) -> Json:
    """A description of the search for people: the words of the text and the sparse clause."""
    body: dict[str, object] = {"mode": query.mode, "match_set": query.match_set}
    if plan.lexical is not None:
        body["words"] = list(plan.lexical.words)
        body["fields"] = dict(plan.lexical.boosts)
        body["tie_breaker"] = plan.lexical.tie_breaker
    if query.mode != "bm25":
        body["weights"] = {clause.name: clause.weight for clause in query.clauses}
        body["sparse_boost"] = query.sparse_boost
    if query.by_ranks:
        body["rrf"] = {"rank_constant": query.rank_constant, "window": query.fusion_window}
    if query.body.get("filter"):
        body["filter"] = query.body["filter"]
    body |= {"from": query.offset, "size": query.size}
    return {"method": "SQL", "path": index.name, "body": body}


def _damage_warnings(mirror: Mirror) -> tuple[str, ...]:
    if not mirror.damaged:
        return ()
    named = ", ".join(sorted(mirror.damaged)[:3])
    return (f"{len(mirror.damaged)} documents have damaged term weights ({named}): feed them again",)
