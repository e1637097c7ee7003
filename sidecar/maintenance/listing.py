"""Which indices were set up, and how each stands."""

from __future__ import annotations

import asyncio

from sidecar.errors import ChercheError
from sidecar.maintenance.setup import unserved
from sidecar.pipeline import Context
from sidecar.values.index import IndexList, IndexMeta, IndexStats, IndexSummary

_AT_ONCE = 8  # indices whose documents are counted


async def listed(context: Context) -> IndexList:
    """The indices that the caller may see; one that cannot be counted says so and fails no other.

    Raises
    ------
    ChercheError
        Where the engine does not name its indices.
    """
    groups = await context.engine.list_indices()
    found = {name: group.meta for group in groups for name in group.names}
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(name: str, meta: IndexMeta) -> IndexSummary:
        async with room:
            return await _summary(name, meta, context)

    ours = await asyncio.gather(*(one(name, meta) for name, meta in sorted(found.items()) if meta))
    return IndexList(tuple(ours), len(found) - len(ours))


async def _summary(name: str, meta: IndexMeta, context: Context) -> IndexSummary:
    missing = unserved([meta], context)
    stats, findings = IndexStats(0, 0, 0), list(missing)
    try:
        stats = await context.engine.stats(name)
    except ChercheError as error:
        findings.append(str(error))
    if stats.pending:
        findings.append(f"{stats.pending:,} documents wait — run: cherche backfill {name}")
    finding = findings[0] if findings else ""
    return IndexSummary(name, meta.model, meta.reranker, stats, not missing, finding)
