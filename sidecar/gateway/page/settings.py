"""Settings of an index, written on a click."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from sidecar.errors import precondition
from sidecar.maintenance import setup
from sidecar.pipeline import Context
from sidecar.services import index_name
from sidecar.values.index import retuned


class Change(BaseModel):
    """A number as the page showed it, and as it shall be."""

    old: float
    new: float


class CountChange(BaseModel):
    """The same of a whole number."""

    old: int
    new: int


class SettingsBody(BaseModel):
    """The numbers of an index that may change without encoding it again."""

    index: str
    sparse_boost: Change
    rerank_weight: Change
    rerank_window: CountChange


async def written(body: SettingsBody, context: Context) -> dict[str, Any]:
    """Write the new numbers into the index's settings.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION where the index is not set up, or no longer has the old numbers; as `setup.setup`.
    """
    index = index_name(body.index)
    meta = await context.engine.meta(index)
    if meta is None:
        raise precondition(f"index {index!r} is not set up", f"run: cherche setup {index}")
    now = (meta.sparse_boost, meta.rerank_weight, meta.rerank_window)
    if now != (body.sparse_boost.old, body.rerank_weight.old, body.rerank_window.old):
        raise precondition(f"{index} has other settings by now: {now}", "look at it again, then write")
    options = retuned(meta, body.sparse_boost.new, body.rerank_weight.new, body.rerank_window.new)
    await setup.setup(index, options, context, dry_run=False)
    return {
        "index": index,
        "sparse_boost": body.sparse_boost.new,
        "rerank_weight": body.rerank_weight.new,
        "rerank_window": body.rerank_window.new,
    }
