"""``cherche dump``: what an index holds, for comparing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from sidecar.cli.session import Session, verb

if TYPE_CHECKING:
    from sidecar.client.client import Client


@verb("dump")
@click.argument("index")
def dump(session: Session, index: str) -> None:
    """Print what is stored beside each document.

    One JSON object per document: id, source, hash, state, the sha256 of its packed terms and of its
    codes, and its routing if it has one; in rising order of id, except on Elasticsearch, which is not
    asked to sort by id. Two dumps, sorted, are equal exactly where two indexes are.
    """
    count = session.run(lambda client: _dump(client, index), about=index)
    session.output.note(f"{count:,} documents")


async def _dump(client: Client, index: str) -> int:
    count = 0
    async for document in client.dump_index(index):
        record = {
            "id": document.id,
            "source": json.loads(document.source_json),
            "hash": document.hash,
            "state": document.state,
            "terms": document.terms_digest,
            "codes": document.codes_digest,
        }
        if document.routing:
            record["routing"] = document.routing
        click.echo(json.dumps(record, ensure_ascii=False, sort_keys=True))
        count += 1
    return count
