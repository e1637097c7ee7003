"""Warnings of a search: what it did not use, and hits that are ranked by less than their text. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from sidecar.pipeline import readiness
from sidecar.pipeline.plan import Plan
from sidecar.pipeline.query import EncodedQuery, sparse_outcome
from sidecar.values.first_stage import EnginePage, Hits, Query
from sidecar.values.search import Hit, SearchRequest

_NO_TERMS = "the query has no term weights: the sparse score of every hit is 0"


def of_search(
    request: SearchRequest, planned: Plan, encoded: EncodedQuery, query: Query, page: EnginePage, shown: Sequence[Hit]
) -> tuple[str, ...]:
    """All warnings of a search that returns the hits `shown`, the engine's own among them."""
    return (
        *encoded.warnings,
        *planned.warnings,
        *_unused(planned, encoded),
        *_unlike(planned),
        *_unready(request, planned, page, shown),
        *page.warnings,
        *_order_ended(query, page),
    )


def _unused(planned: Plan, encoded: EncodedQuery) -> tuple[str, ...]:
    """Warnings of query parts that the first stage does not use."""
    if planned.sparse is None or encoded.clauses:
        return ()
    return (sparse_outcome(encoded, planned.sparse, 0).reason if encoded.unknown_language else _NO_TERMS,)


def _unlike(planned: Plan) -> tuple[str, ...]:
    """Warnings where indices are not encoded alike."""
    said = []
    if planned.others:
        named = ", ".join(f"{', '.join(group.names)} ({group.meta.model})" for group, _ in planned.others if group.meta)
        said.append(f"weights are of several models, and scores of one with another do not compare: {named}")
    bare = [name for group in planned.groups if group.meta is None for name in group.names]
    if bare and planned.sparse is not None:
        said.append(f"{', '.join(bare)}: not set up, so BM25 alone searches there — run: cherche setup {bare[0]}")
    return tuple(said)


def _unready(request: SearchRequest, planned: Plan, page: EnginePage, shown: Sequence[Hit]) -> list[str]:
    """A warning of hits that are shown and are not encoded as they are; of several with one id, all count."""
    ids, every = {hit.id for hit in shown}, Hits.of(page.hits).ids
    hits = [page.hits[place] for place, id in enumerate(every) if id in ids]
    return readiness.warnings(request.index, hits, planned.groups, knows_text=not request.source_fields)


def _order_ended(query: Query, page: EnginePage) -> tuple[str, ...]:
    """A warning where fusion by ranks leaves out hits that are counted."""
    end = query.offset + len(page.hits)
    if not query.by_ranks or len(page.hits) >= query.size or page.total <= end:
        return ()
    return (f"fusion rrf ranks the best {query.fusion_window} hits of each part: its order ends there",)
