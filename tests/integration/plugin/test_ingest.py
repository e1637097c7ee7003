"""What the ingest processor stores is what a feed stores, and one bad document costs itself only."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cherche_models import codec
from sidecar.values.documents import SourceDocument
from sidecar.values.index import Gaps, IndexOptions, TextField
from sidecar.values.maintenance import BackfillOptions
from sidecar.values.search import SearchRequest
from tests.integration.plugin.cluster import Cluster
from tests.integration.plugin.requests import Sources, bulk, failed, ingest_pipeline

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


async def test_fields_are_mapped_as_the_pipeline_says(cluster: Cluster) -> None:
    options = IndexOptions(fields=(TextField("title"), TextField("content.body")))
    through, fed = f"{cluster.index}-through", f"{cluster.index}-fed"
    for index in (through, fed):
        await cluster.server.client.setup_index(index, options)
    field_map = {"headline": "title", "chapters": {"body": "content.body"}}
    pipeline = await ingest_pipeline(cluster, field_map=field_map)
    chapters = [{"body": "first"}, {"body": ["second", "third"]}, {"image": 1}]
    sources: Sources = {
        "a": {"headline": "a car", "chapters": chapters},
        "b": {"title": "own", "content": {"body": "x"}},
    }
    assert failed(await bulk(cluster, sources, pipeline, through)) == {}
    equal: Sources = {
        "a": {"title": "a car", "content": {"body": ["first", "second", "third"]}},
        "b": {"title": "own", "content": {"body": "x"}},
    }
    assert set((await feed(cluster, fed, equal)).values()) == {"encoded"}
    written, wanted = await stored(cluster, through), await stored(cluster, fed)
    assert {id: parts(one) for id, one in written.items()} == {id: parts(one) for id, one in wanted.items()}
    assert json.loads(written["a"].source_json)["content"] == equal["a"]["content"]
    wrong = await ingest_pipeline(cluster, field_map={"headline": "heading"})
    [error] = failed(await bulk(cluster, {"c": {"headline": "x"}}, wrong, through)).values()
    assert "the index encodes [title, content.body]" in error["reason"]


def parts(one: Any) -> tuple[str, ...]:
    return (one.hash, one.state, one.terms_digest, one.codes_digest)


async def test_long_documents_are_cut_into_windows_as_a_feed_cuts_them(cluster: Cluster) -> None:
    through, fed = f"{cluster.index}-through", f"{cluster.index}-fed"
    for index in (through, fed):
        await cluster.server.client.setup_index(index, IndexOptions(chunks=8))
    assert failed(await bulk(cluster, AS_WRITTEN, await ingest_pipeline(cluster), through)) == {}
    await feed(cluster, fed, AS_WRITTEN)
    assert await stored(cluster, through) == await stored(cluster, fed)
    [long] = (await cluster.engine.read(through, ["long"])).values()
    assert len(codec.codes_header(long.codes or b"").chunks) == 4
    found = await cluster.server.client.search(SearchRequest(through, "word399", mode="sparse", rerank=True))
    assert [hit.id for hit in found.hits] == ["long"]
    assert found.hits[0].parts.maxsim == pytest.approx(1.0, abs=0.01)
    assert (found.rerank.status, found.rerank.codes_missing) == ("APPLIED", 0)


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


async def test_one_bad_document_in_five_hundred(cluster: Cluster) -> None:
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


async def test_a_document_written_anew_with_the_same_text_needs_no_model(cluster: Cluster) -> None:
    pipeline = await ingest_pipeline(cluster)
    await bulk(cluster, AS_WRITTEN, pipeline)
    before, passes = await stored(cluster, cluster.index), len(cluster.model.batches)
    again = {id: {**source, "n": 2} for id, source in AS_WRITTEN.items()}
    assert failed(await bulk(cluster, again, pipeline)) == {}
    after = await stored(cluster, cluster.index)
    assert len(cluster.model.batches) == passes
    assert {id: parts(one) for id, one in after.items()} == {id: parts(one) for id, one in before.items()}
    assert all(json.loads(one.source_json)["n"] == 2 for one in after.values())


async def test_weights_dropped_by_an_update_are_found_and_restored(cluster: Cluster) -> None:
    pipeline = await ingest_pipeline(cluster)
    await bulk(cluster, AS_WRITTEN, pipeline)
    whole = await stored(cluster, cluster.index)
    client, index = cluster.server.client, cluster.index
    assert await gaps(cluster) == Gaps()
    lines = [{"update": {"_id": "plain"}}, {"doc": {"n": 2}}, {"update": {"_id": "lists"}}, {"doc": {"text": "new"}}]
    body = ("\n".join(map(json.dumps, lines)) + "\n").encode()
    reply = await cluster.send("POST", f"/{index}/_bulk", body, pipeline=pipeline, refresh="true")
    assert not reply["errors"]
    assert await gaps(cluster) == Gaps(waiting=2)
    [finding] = (await client.get_index(index)).findings
    assert finding.startswith("2 documents wait for weights")
    assert finding.endswith(f"run: cherche backfill {index}")
    async for _ in client.backfill_index(index, BackfillOptions(search_slowdown=0.0, ignore_disk=True)):
        pass
    assert await gaps(cluster) == Gaps()
    restored = await stored(cluster, index)
    assert parts(restored["plain"]) == parts(whole["plain"])
    assert restored["lists"].terms_digest not in ("", whole["lists"].terms_digest)


async def gaps(cluster: Cluster) -> Gaps:
    meta = await cluster.engine.meta(cluster.index)
    assert meta is not None
    return await cluster.engine.gaps(cluster.index, meta)


async def test_a_document_without_text_is_stored_as_a_feed_stores_it_or_refused_on_request(cluster: Cluster) -> None:
    bare: Sources = {"empty": {"n": 1}, "null": {"text": [None, ""]}}
    items = await bulk(cluster, {**bare, "full": {"text": ["words", None, 7]}}, await ingest_pipeline(cluster))
    assert failed(items) == {}
    written = await stored(cluster, cluster.index)
    assert {id: one.state for id, one in written.items()} == {"empty": "no_text", "null": "no_text", "full": "ok"}
    outcomes = await feed(cluster, cluster.index, {**bare, "full": {"text": ["words", None, 7]}})
    assert set(outcomes.values()) == {"unchanged"}
    items = await bulk(cluster, bare, await ingest_pipeline(cluster, ignore_missing=False))
    assert {items[id]["status"] for id in bare} == {400}
    assert "has no text in any encoded field" in failed(items)["empty"]["reason"]


async def test_an_index_that_was_not_set_up_takes_its_documents_as_they_are(cluster: Cluster) -> None:
    plain = f"{cluster.index}-plain"
    items = await bulk(cluster, {"a": {"text": "words"}}, await ingest_pipeline(cluster), plain)
    assert failed(items) == {}
    assert (await cluster.send("GET", f"/{plain}/_source/a")) == {"text": "words"}


@pytest.mark.parametrize("lean", [True, False])
@pytest.mark.parametrize("upsert", [True, False])
async def test_a_part_of_a_document_is_never_taken_for_the_whole(cluster: Cluster, lean: bool, upsert: bool) -> None:
    index = cluster.index if lean else f"{cluster.index}-there"
    pipeline = await ingest_pipeline(cluster, field_map={"headline": "title"})
    if not lean:  # setup after the first document: weights lie in _source
        await cluster.send("PUT", f"/{index}/_doc/first", {"title": "x", "text": "y"}, refresh="true")
        await cluster.server.client.setup_index(index, IndexOptions())
    await cluster.send("PUT", f"/{index}/_settings", {"index.default_pipeline": pipeline})
    whole: Sources = {id: {"title": "moonlight", "text": "over the sea", "views": 1} for id in "abcd"}
    await bulk(cluster, whole, pipeline, index)
    assert await states(cluster, index) == dict.fromkeys("abcd", "ok")
    parts = {"a": {"title": "sunlight"}, "b": {"views": 2}, "d": {"headline": "sunlight"}}
    lines: list[Any] = []
    for id, part in parts.items():
        lines += [{"update": {"_id": id}}, {"doc": part, "doc_as_upsert": upsert}]
    body = "".join(json.dumps(line) + "\n" for line in lines).encode()
    reply = await cluster.send("POST", f"/{index}/_bulk", body, refresh="true")
    assert not reply["errors"], reply
    # The pipeline, through which inserts go alone, made a title of the headline.
    waiting = {"a", "b", "d"} if lean else {"a", "d"} if upsert else {"a"}
    assert await states(cluster, index) == {id: "pending" if id in waiting else "ok" for id in "abcd"}
    assert await found_by_weights(cluster, index, "moonlight") == set("abcd") - waiting
    assert await found_by_weights(cluster, index, "sunlight") == set()
    quiet = BackfillOptions(search_slowdown=0.0)
    assert [one async for one in cluster.server.client.backfill_index(index, quiet)]
    assert await states(cluster, index) == dict.fromkeys("abcd", "ok")
    assert await found_by_weights(cluster, index, "sunlight") == ({"a", "d"} if upsert else {"a"})


async def states(cluster: Cluster, index: str) -> dict[str, str | None]:
    return {id: one.state for id, one in (await stored(cluster, index)).items() if id != "first"}


async def found_by_weights(cluster: Cluster, index: str, word: str) -> set[str]:
    return {hit.id for hit in (await cluster.server.client.search(SearchRequest(index, word, mode="sparse"))).hits}


async def test_a_script_outside_a_bulk_leaves_a_document_that_is_encoded(cluster: Cluster) -> None:
    index, pipeline = cluster.index, await ingest_pipeline(cluster)
    await cluster.send("PUT", f"/{index}/_settings", {"index.default_pipeline": pipeline})
    await bulk(cluster, {"a": {"title": "moonlight"}, "b": {"title": "moonlight"}}, pipeline)
    script = {"script": {"source": "ctx._source.title = params.title", "params": {"title": "sunlight"}}}
    await cluster.send("POST", f"/{index}/_update/a", script, refresh="true")
    assert await found_by_weights(cluster, index, "sunlight") == {"a"}
    await cluster.send("POST", f"/{index}/_update_by_query", script, refresh="true")
    assert await found_by_weights(cluster, index, "sunlight") == {"a", "b"}
    assert await found_by_weights(cluster, index, "moonlight") == set()
    assert await states(cluster, index) == {"a": "ok", "b": "ok"}


async def test_fields_that_a_client_sends_are_replaced(cluster: Cluster) -> None:
    pipeline = await ingest_pipeline(cluster)
    await bulk(cluster, {"a": {"text": "words"}}, pipeline)
    honest = (await stored(cluster, cluster.index))["a"]
    forged = {"text": "words", "cherche_digest": "0" * 64, "cherche_weights": {"h1": 9.0}, "cherche_hash": "0" * 64}
    forged |= {"cherche_status": [{"failed": 1}], "cherche_state": "failed"}
    await bulk(cluster, {"a": forged}, pipeline)
    assert (await stored(cluster, cluster.index))["a"] == honest


@pytest.mark.parametrize("options", [{"on_unavailable": "hope"}, {"unknown": 1}, {"deadline": "soon"}])
async def test_an_invalid_option_is_rejected_when_the_pipeline_is_created(
    cluster: Cluster, options: dict[str, Any]
) -> None:
    with pytest.raises(Exception, match=next(iter(options))):
        await ingest_pipeline(cluster, **options)
