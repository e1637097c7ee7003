"""An index in use before setup and after removal: its owner finds everything as it was."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.testing import FakeModel, RunningServer, running_server
from sidecar.values.index import IndexOptions, TextField
from tests.integration.opensearch.corpus import Send
from tests.integration.opensearch.test_backfill import last, run

pytestmark = pytest.mark.java

FIELDS = IndexOptions(fields=(TextField("title"), TextField("text")))
USERS = {
    "1": {"title": "first", "text": "red fox", "n": 1.50, "tags": ["a", None], "nested": {"x.y": 1.5, "empty": None}},
    "2/?#,*": {"title": "zweiter – №2 😀", "text": ["brown", "bear"], "big": 9007199254740993, "flag": False},
    "3": {"title": "third", "text": "", "list": [{"a": 1}, {"a": 2}]},
    "4": {"other": "no text at all"},
}


@pytest.fixture
async def server(opensearch: OpenSearchEngine) -> AsyncIterator[RunningServer]:
    async with running_server(opensearch, [FakeModel()]) as running:
        yield running


@pytest.fixture
async def stamped(send: Send, index: str) -> AsyncIterator[str]:
    """An index whose owner has a default and a final pipeline, that change every document they see."""
    for name, field in (("default", "cleaned"), ("final", "ingested_at")):
        stamp = {"set": {"field": field, "value": "{{_ingest.timestamp}}"}}
        await send("PUT", f"/_ingest/pipeline/{index}-{name}", {"processors": [stamp]})
    settings = {
        "number_of_shards": 3,
        "number_of_replicas": 0,
        "index.default_pipeline": f"{index}-default",
        "index.final_pipeline": f"{index}-final",
    }
    aliases = {f"{index}-fox": {"filter": {"match": {"text": "fox"}}, "index_routing": "r1", "search_routing": "r1"}}
    await send("PUT", f"/{index}", {"settings": settings, "mappings": {"_meta": {"owner": "us"}}, "aliases": aliases})
    lines: list[Any] = []
    for id, source in USERS.items():
        lines += [{"index": {"_id": id, "routing": f"r{len(id)}"}}, source]
    reply = await send("POST", f"/{index}/_bulk", "".join(json.dumps(line) + "\n" for line in lines).encode())
    assert not reply["errors"]
    yield index
    await send("PUT", f"/{index}/_settings", {"index.default_pipeline": None, "index.final_pipeline": None})
    for name in ("default", "final"):
        await send("DELETE", f"/_ingest/pipeline/{index}-{name}")


async def state(send: Send, index: str) -> dict[str, Any]:
    """Everything that the owner of an index sees of it, mapped fields but for ours."""
    await send("POST", f"/{index}/_refresh")
    hits = (await send("POST", f"/{index}/_search", {"size": 100}))["hits"]["hits"]
    described = (await send("GET", f"/{index}"))[index]
    properties = described["mappings"].pop("properties")
    return {
        "documents": {(hit["_id"], hit["_routing"]): hit["_source"] for hit in hits},
        "properties": {name: spec for name, spec in properties.items() if not name.startswith("cherche_")},
        **described,
    }


@pytest.mark.parametrize("product", ["opensearch"], indirect=True)  # the other has no `set` here
async def test_an_index_is_as_it_was_after_backfill_and_removal(
    server: RunningServer, send: Send, stamped: str
) -> None:
    before = await state(send, stamped)
    await server.client.setup_index(stamped, FIELDS)
    assert last(await run(server, stamped)).failed == 0
    assert (await server.client.get_index(stamped)).stats.encoded == 2 + 1
    during = await state(send, stamped)
    assert during != before
    planned = await server.client.remove_index(stamped, dry_run=True)
    assert await state(send, stamped) == during
    removed = await server.client.remove_index(stamped)
    assert removed == planned
    assert await state(send, stamped) == before
    assert (await server.client.remove_index(stamped)).documents == 0
