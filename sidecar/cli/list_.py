"""``cherche list``: the indices that were set up."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING

from sidecar.cli.output import table
from sidecar.cli.session import Session, verb
from sidecar.errors import ChercheError

if TYPE_CHECKING:
    from sidecar.client.client import Client
    from sidecar.values.index import IndexList, IndexSummary

_COLUMNS = ("index", "model", "reranker", "documents", "encoded", "pending", "state")


@verb("list")
def list_(session: Session) -> None:
    """List the indices that are set up, and how each stands.

    An index is ready where the sidecar serves its models and no document waits; otherwise the state says what is
    missing, with the command that mends it. `cherche doctor INDEX` looks closer.
    """

    async def listed(client: Client) -> IndexList:
        found = await client.list_indices()
        for missing in [one for one in found.indices if not one.served]:
            with suppress(ChercheError):  # it stays in the list, with what it lacks
                await session.load_for(client, missing.index)
        return await client.list_indices()

    found = session.run(listed)
    value = {"indices": [asdict(one) for one in found.indices], "others": found.others}
    session.output.data(value, lambda: _print(found))
    if not found.indices:
        session.output.note("no index is set up — run: cherche setup INDEX")
    if found.others:
        session.output.note(f"{found.others:,} other indices are not set up")


def _print(found: IndexList) -> None:
    table(_COLUMNS, [_row(one) for one in found.indices])


def _row(one: IndexSummary) -> list[object]:
    counts = (f"{count:,}" for count in (one.stats.documents, one.stats.encoded, one.stats.pending))
    return [one.index, one.model, one.reranker, *counts, one.finding or "ready"]
