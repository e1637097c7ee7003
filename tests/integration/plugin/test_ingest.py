"""What the ingest processor stores is what a feed stores, and one bad document costs itself only."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sidecar.types import IndexOptions, SourceDocument, TextField
from tests.integration.plugin.bulk import Sources, bulk, failed, ingest_pipeline
from tests.integration.plugin.conftest import Cluster

pytestmark = [pytest.mark.java, pytest.mark.timeout(900)]  # the first builds the plugin and starts the node

AS_WRITTEN: Sources = {
    "plain": {"title": "a title", "text": "some text, with a full stop.", "n": 1},
    "lists": {"title": ["one", "two"], "text": ["first part.", "second part"], "nested": {"x": [{"y": 1.5}]}},
    "no title": {"text": "zweiter – №2 😀 größe"},
    "null": {"title": None, "text": "only text", "flag": False},
    "long": {"title": "long", "text": " ".join(f"word{n}" for n in range(400))},
}


async def documents(sources: Sources) -> AsyncIterator[SourceDocument]:
    for id, source in sources.items():
        yield SourceDocument(id, json.dumps(source).encode())


async def stored(cluster: Cluster, index: str) -> dict[str, Any]:
    return {one.id: one async for one in cluster.server.client.dump_index(index)}


async def feed(cluster: Cluster, index: str, sources: Sources) -> dict[str, str]:
    answers = cluster.server.client.index_documents(index, documents(sources))
    return {answer.id: answer.outcome async for answer in answers}


async def test_it_stores_what_a_feed_stores(cluster: Cluster) -> None:
    fed = f"{cluster.index}-fed"
    await cluster.server.client.setup_index(fed, IndexOptions())
    assert failed(await bulk(cluster, AS_WRITTEN, await ingest_pipeline(cluster))) == {}
    assert set((await feed(cluster, fed, AS_WRITTEN)).values()) == {"encoded"}
    written = await stored(cluster, cluster.index)
    assert written == await stored(cluster, fed)
    assert all(one.terms_digest and one.codes_digest for one in written.values())


async def test_nested_objects_are_read_by_their_path(cluster: Cluster) -> None:
    options = IndexOptions(fields=(TextField("head.title"), TextField("parts.body")))
    through, fed = f"{cluster.index}-through", f"{cluster.index}-fed"
    for index in (through, fed):
        await cluster.server.client.setup_index(index, options)
    parts = [{"body": "first part"}, {"body": ["second", "part"]}, {"image": "none"}]
    sources: Sources = {
        "objects": {"head": {"title": "a car"}, "parts": parts},
        "paths": {"head.title": "a car", "parts.body": "one part"},
    }
    assert failed(await bulk(cluster, sources, await ingest_pipeline(cluster), through)) == {}
    assert set((await feed(cluster, fed, sources)).values()) == {"encoded"}
    assert await stored(cluster, through) == await stored(cluster, fed)


async def test_the_weights_it_stores_are_searched(cluster: Cluster) -> None:
    fed = f"{cluster.index}-fed"
    await cluster.server.client.setup_index(fed, IndexOptions())
    await bulk(cluster, AS_WRITTEN, await ingest_pipeline(cluster))
    await feed(cluster, fed, AS_WRITTEN)
    wanted = {"bool": {"should": [{"rank_feature": {"field": "cherche_weights.%2E", "linear": {}, "boost": 1000}}]}}
    one, other = [
        (await cluster.send("POST", f"/{index}/_search", {"query": wanted}))["hits"]["hits"]
        for index in (cluster.index, fed)
    ]
    assert {hit["_id"]: hit["_score"] for hit in one} == {hit["_id"]: hit["_score"] for hit in other}
    assert {hit["_id"] for hit in one} == {"plain", "lists"}


async def test_one_poison_document_in_five_hundred(cluster: Cluster) -> None:
    sources = {f"d{n}": {"text": f"document {n}" + (" poison" if n == 123 else "")} for n in range(500)}
    items = await bulk(cluster, sources, await ingest_pipeline(cluster))
    [(id, error)] = failed(items).items()
    assert id == "d123"
    assert "poison" in error["reason"]
    written = await stored(cluster, cluster.index)
    assert len(written) == 499
    assert all(one.state == "ok" for one in written.values())


async def test_an_update_that_leaves_the_text_alone_needs_no_model(cluster: Cluster) -> None:
    pipeline = await ingest_pipeline(cluster)
    await cluster.send("PUT", f"/{cluster.index}/_settings", {"index.default_pipeline": pipeline})
    await bulk(cluster, AS_WRITTEN, pipeline)
    before = await stored(cluster, cluster.index)
    passes = len(cluster.model.batches)
    await cluster.send("POST", f"/{cluster.index}/_update/plain", {"doc": {"n": 2}}, refresh="true")
    after = await stored(cluster, cluster.index)
    assert len(cluster.model.batches) == passes
    assert json.loads(after["plain"].source_json)["n"] == 2
    assert (after["plain"].terms_digest, after["plain"].codes_digest) == (
        before["plain"].terms_digest,
        before["plain"].codes_digest,
    )
    await cluster.send("POST", f"/{cluster.index}/_update/plain", {"doc": {"text": "another"}}, refresh="true")
    changed = await stored(cluster, cluster.index)
    assert len(cluster.model.batches) == passes + 1
    assert changed["plain"].terms_digest != before["plain"].terms_digest


async def test_a_document_without_text_is_refused_or_left_alone(cluster: Cluster) -> None:
    items = await bulk(cluster, {"empty": {"n": 1}, "full": {"text": "words"}}, await ingest_pipeline(cluster))
    [(id, error)] = failed(items).items()
    assert (id, items["empty"]["status"]) == ("empty", 400)
    assert "has no text in title, text" in error["reason"]
    items = await bulk(cluster, {"empty": {"n": 1}}, await ingest_pipeline(cluster, ignore_missing=True))
    assert failed(items) == {}
    assert (await stored(cluster, cluster.index))["empty"].terms_digest == ""


async def test_an_index_that_was_not_set_up_says_what_to_do(cluster: Cluster) -> None:
    plain = f"{cluster.index}-plain"
    await cluster.send("PUT", f"/{plain}")
    items = await bulk(cluster, {"a": {"text": "words"}}, await ingest_pipeline(cluster), plain)
    assert f"run cherche setup {plain}" in items["a"]["error"]["reason"]


async def test_what_a_document_claims_to_hold_is_not_believed(cluster: Cluster) -> None:
    pipeline = await ingest_pipeline(cluster)
    await bulk(cluster, {"a": {"text": "words"}}, pipeline)
    honest = (await stored(cluster, cluster.index))["a"]
    forged = {"text": "words", "cherche_hash": "0" * 64, "cherche_weights": {"h1": 9.0}, "cherche_state": "failed"}
    await bulk(cluster, {"a": forged}, pipeline)
    assert (await stored(cluster, cluster.index))["a"] == honest


@pytest.mark.parametrize("options", [{"on_unavailable": "hope"}, {"unknown": 1}, {"deadline": "soon"}])
async def test_a_wrong_option_is_refused_when_the_pipeline_is_made(cluster: Cluster, options: dict[str, Any]) -> None:
    with pytest.raises(Exception, match=next(iter(options))):
        await ingest_pipeline(cluster, **options)
