"""What the judgements of the page would change in an index's settings; nothing is written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from sidecar import pipeline
from sidecar.errors import precondition
from sidecar.gateway.page.judgements import Judgements, relevant
from sidecar.gateway.page.work import Done, Steps
from sidecar.maintenance import tuning
from sidecar.maintenance.tuning import SIGNIFICANT, Fit
from sidecar.pipeline import Context
from sidecar.services import Services, index_name
from sidecar.values.search import RerankStatus

LEAST = 10
"""Judged queries: of fewer, hardly any difference can be told from chance (exact test: p >= 2 / 2^n)."""


async def tuning_steps(judgements: Judgements, index: str, services: Services, context: Callable[[], Context]) -> Steps:
    """Search each judged query once, then choose as ``cherche tune`` does.

    A stranger's judgements are few and lie where the modes looked: unlike on the command line, a choice is offered
    only where its gain on held-out queries is significant.

    Parameters
    ----------
    context : callable
        Of the caller, with a deadline of its own for each search.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION for too few queries, an index that is not set up, or hits that were not reranked.
    """
    qrels = await asyncio.to_thread(judgements.read, index_name(index))
    queries = relevant(qrels)
    if len(queries) < LEAST:
        raise precondition(
            f"{len(queries)} of the queries have a relevant document, and {LEAST} are needed to choose settings",
            "grade hits of more queries",
        )
    meta = await context().engine.meta(index)
    if meta is None:
        raise precondition(f"index {index!r} is not set up", f"run: cherche setup {index}")
    judged = {}
    for done, query in enumerate(queries, 1):
        result = await pipeline.search(tuning.request(index, query), context())
        services.measure(result)
        if result.hits and result.rerank.status != RerankStatus.APPLIED:
            said = f"{result.rerank.status} {result.rerank.reason}".strip()
            raise precondition(f"{query!r} was not reranked: {said}", "see the panel Index, or run: cherche doctor")
        judged[query] = tuning.judged(result.hits, qrels[query], meta.sparse_boost)
        yield Done(done, len(queries))
    current = tuning.setting_of(meta)
    found = await asyncio.to_thread(tuning.fit, judged, current, p_value=SIGNIFICANT)
    yield Done(len(queries), len(queries), fit_json(found, len(queries)))


def fit_json(found: Fit, queries: int) -> dict[str, Any]:
    """A fit as JSON: `offered` says whether it may be written, `reason` why or why not."""
    return {
        "queries": queries,
        "before": asdict(found.current),
        "choice": asdict(found.tuned.choice),
        "folds": [asdict(one) for one in found.tuned.folds],
        "held_out": asdict(found.tuned.held_out),
        "errors": list(found.tuned.errors),
        "offered": found.changes,
        "reason": _reason(found),
    }


def _reason(found: Fit) -> str:
    """What the figures say, in words."""
    gain, p_value = found.tuned.held_out.difference, found.tuned.held_out.p_value
    if found.tuned.choice == found.current:
        return "No other setting ranks these queries better: the index keeps what it has."
    if gain <= 0:
        return "The choice does not help queries that it was not made on: the index keeps what it has."
    if not found.is_better:
        return (
            f"The gain may well be chance: without any, one as large comes in {p_value:.0%} of all cases. "
            "Judge more queries; the index keeps what it has."
        )
    return f"On queries that it was not made on the choice gains {gain:+.3f}, which is no chance (p {p_value:.3f})."
