"""Reciprocal rank fusion: the searches that it consists of, and what their hits become.

Elasticsearch's own `rrf` needs a licence, OpenSearch's a search pipeline from 2.19 on, and neither gives the parts of
a score. Here each part is ranked by a search of its own, while a third one counts and aggregates; a fourth one then
fetches the page.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cherche_models import fuse
from cherche_models.fuse import Ranks
from sidecar.engines.opensearch.query import lexical_clause
from sidecar.values.first_stage import EngineHit, EnginePage, Query

Key = tuple[str, str, str]
"""Index, id and routing value, "" for none: an index may hold one id under several."""

_RANKING = ("query", "filter", "post_filter", "runtime_mappings", "derived", "indices_boost", "terminate_after")
_COUNTING = ("aggs", "aggregations", "track_total_hits", "suggest", "profile")


async def search(query: Query, run: Callable[[Query], Awaitable[EnginePage]]) -> EnginePage:
    """Search by ranks; `run` sends one search."""
    clock = asyncio.get_running_loop().time
    started = clock()
    lexical, sparse, counted = await asyncio.gather(*map(run, (*rankings(query), counting(query))))
    places = order((lexical.hits, sparse.hits), query.rank_constant)
    shown = dict(list(places.items())[query.offset : query.offset + query.size])
    answers = [lexical, sparse, counted]
    if shown:
        left = None if query.timeout is None else max(0.001, query.timeout - (clock() - started))
        answers.append(await run(replace(fetching(query, tuple(shown)), timeout=left)))
    return replace(
        counted,
        hits=ranked(answers[-1].hits, shown, query.rank_constant),
        request={**answers[-1].request, "ranked_by": [lexical.request, sparse.request]},
        warnings=tuple(dict.fromkeys(warning for one in answers for warning in one.warnings)),
        indices=tuple(sorted({name for one in answers for name in one.indices})),
        partial=any(one.partial for one in answers),
    )


def rankings(query: Query) -> tuple[Query, Query]:
    """A search for the best hits by each part alone, without what is fetched of a hit."""
    kept = {key: query.body[key] for key in _RANKING if key in query.body}
    body = {**kept, "_source": False, "track_total_hits": False}
    bare = replace(
        query,
        size=query.fusion_window,
        offset=0,
        body=body,
        source_fields=(),
        with_terms=False,
        with_codes=False,
        with_state=False,
        fusion="sum",
    )
    sparse = dict(body)
    if query.match_set == "lexical":
        sparse = {**body, "filter": [*_filters(query), lexical_clause(query)]}
        sparse.pop("query", None)
    return replace(bare, mode="bm25"), replace(bare, mode="sparse", body=sparse)


def counting(query: Query) -> Query:
    """A search that counts and aggregates what either part, or the user's clause, matches."""
    body = {key: query.body[key] for key in (*_RANKING, *_COUNTING) if key in query.body}
    return replace(query, size=0, offset=0, body=body, with_terms=False, with_codes=False, fusion="sum")


def fetching(query: Query, keys: Sequence[Key]) -> Query:
    """A search that returns these hits with both parts of their scores."""
    body = {key: value for key, value in query.body.items() if key not in _COUNTING}
    wanted: list[Any] = []
    for place in dict.fromkeys((index, routing) for index, _, routing in keys):
        index, routing = place
        ids = {"ids": {"values": [id for held, id, route in keys if (held, route) == place]}}
        routed = [{"term": {"_routing": routing}}] if routing else []
        clause: dict[str, Any] = {"filter": [ids, {"term": {"_index": index}}, *routed]}
        if not routing:
            clause["must_not"] = [{"exists": {"field": "_routing"}}]
        wanted.append({"bool": clause})
    filters = [*_filters(query), {"bool": {"should": wanted, "minimum_should_match": 1}}]
    body = {**body, "filter": filters, "track_total_hits": False}
    return replace(query, size=len(keys), offset=0, body=body, fusion="sum")


def order(lists: Sequence[Sequence[EngineHit]], constant: int) -> dict[Key, Ranks]:
    """Ranks of every hit in both lists, in descending order of score, ties by id."""
    found = fuse.ranks([list(map(_key, hits)) for hits in lists])
    return dict(sorted(found.items(), key=lambda item: (-fuse.reciprocal(item[1], constant), item[0][1], item[0])))


def ranked(hits: Sequence[EngineHit], places: Mapping[Key, Ranks], constant: int) -> tuple[EngineHit, ...]:
    """Hits in the order of `places`, with ranks and the score of these; one that was deleted meanwhile is left out."""
    held = {_key(hit): hit for hit in hits}
    return tuple(
        replace(held[key], score=fuse.reciprocal(ranks, constant), lexical_rank=ranks[0], sparse_rank=ranks[1])
        for key, ranks in places.items()
        if key in held
    )


def _key(hit: EngineHit) -> Key:
    return hit.index, hit.id, str(hit.extra.get("_routing", ""))


def _filters(query: Query) -> list[Any]:
    given = query.body.get("filter", [])
    return list(given) if isinstance(given, list) else [given]
