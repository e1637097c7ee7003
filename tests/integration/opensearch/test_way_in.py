"""Documents, routings, versions and mappings as people have them, on a real cluster."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from sidecar.cli.doctor import has_other_text
from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.errors import ChercheError, Code
from sidecar.pipeline import readiness
from sidecar.testing import FakeModel, RunningServer, running_server
from sidecar.values.documents import SourceDocument, StoredDocument
from sidecar.values.first_stage import Fusion
from sidecar.values.index import Gaps, IndexOptions, TextField
from sidecar.values.maintenance import EXTERNAL, Estimate
from sidecar.values.search import RerankStatus, SearchRequest
from tests.integration.opensearch.corpus import Send
from tests.integration.opensearch.test_backfill import FIELDS, bulk, last, run

pytestmark = pytest.mark.java

AS_PEOPLE_HAVE_THEM: Mapping[str, Mapping[str, Any]] = {
    "list": {"title": ["a", None], "text": "words"},
    "number": {"title": 7, "text": [1.5, True]},
    "null": {"title": None, "text": "words"},
    "empty": {"title": "", "text": "  "},
    "absent": {"n": 1},
}


@pytest.fixture
async def server(opensearch: OpenSearchEngine) -> AsyncIterator[RunningServer]:
    async with running_server(opensearch, [FakeModel()]) as running:
        yield running


async def feed(server: RunningServer, index: str, *documents: SourceDocument) -> dict[str, str]:
    async def each() -> AsyncIterator[SourceDocument]:
        for document in documents:
            yield document

    return {
        answer.id: answer.error.code if answer.error else answer.outcome
        async for answer in server.client.index_documents(index, each())
    }


def document(id: str, source: Mapping[str, Any], routing: str = "") -> SourceDocument:
    return SourceDocument(id, json.dumps(source).encode(), routing)


async def changed(server: RunningServer, index: str) -> set[str]:
    """What `cherche doctor --all` finds to have another text than was encoded."""
    report = await server.client.get_index(index)
    return {one.id async for one in server.client.dump_index(index) if has_other_text(one, report)}


async def test_a_feed_and_a_backfill_store_documents_alike_as_the_engine_takes_them(
    server: RunningServer, send: Send, index: str
) -> None:
    fed, filled = index, f"{index}-filled"
    await server.client.setup_index(fed, FIELDS)
    outcomes = await feed(server, fed, *(document(id, source) for id, source in AS_PEOPLE_HAVE_THEM.items()))
    assert outcomes == {
        "list": "encoded",
        "number": "encoded",
        "null": "encoded",
        "empty": "no_text",
        "absent": "no_text",
    }
    try:
        await server.client.setup_index(filled, FIELDS)
        await bulk(send, filled, {id: dict(source) for id, source in AS_PEOPLE_HAVE_THEM.items()})
        done = last(await run(server, filled))
        assert (done.encoded, done.skipped, done.failed) == (3, 2, 0)
        stored = [{one.id: one async for one in server.client.dump_index(name)} for name in (fed, filled)]
        assert stored[0] == stored[1]
        assert (await server.client.get_index(filled)).findings == ()
        again = last(await run(server, filled))
        assert (again.encoded, again.skipped, again.kept) == (0, 0, 5)
    finally:
        await send("DELETE", f"/{filled}")


async def test_a_count_of_gaps_and_the_documents_themselves_agree(
    server: RunningServer, opensearch: OpenSearchEngine, send: Send, index: str
) -> None:
    await server.client.setup_index(index, FIELDS)
    await feed(server, index, *(document(id, source) for id, source in AS_PEOPLE_HAVE_THEM.items()))
    await feed(server, index, *(document(str(i), {"text": f"moonlight {i}"}) for i in range(4)))
    updates = [{"update": {"_id": "0"}}, {"doc": {"views": 2}}]  # weights, which are not in _source, are lost
    others = [{"index": {"_id": "untouched"}}, {"text": "sunlight"}, {"index": {"_id": "bare"}}, {"year": 1}]
    lines = "".join(json.dumps(line) + "\n" for line in [*updates, *others])
    await send("POST", f"/{index}/_bulk", lines.encode(), refresh="true")
    await opensearch.write(index, [StoredDocument("1", {"text": "moonlight 1"}, "", "pending")])
    await opensearch.refresh(index)
    meta = await opensearch.meta(index)
    assert meta is not None
    lacks = {one.id: readiness.lack(one, [meta]) async for one in opensearch.scan(index)}
    assert {id for id, lack in lacks.items() if lack} == {"0", "1", "untouched"}
    assert await opensearch.gaps(index, meta) == Gaps(untouched=1, waiting=1, lost=1)
    found = await server.client.search(SearchRequest(index, "moonlight", size=20))
    assert [line for line in found.warnings if "1 waiting for weights, 1 without the weights" in line]
    await run(server, index)
    assert (await opensearch.gaps(index, meta)).total == 0
    found = await server.client.search(SearchRequest(index, "moonlight", size=20))
    assert not [line for line in found.warnings if "not encoded as they are" in line]


async def test_a_search_for_no_hits_counts_and_aggregates(server: RunningServer, index: str) -> None:
    await server.client.setup_index(index, FIELDS)
    await feed(server, index, *(document(str(i), {"text": "moonlight", "year": 2000 + i % 2}) for i in range(6)))
    body = {"aggs": {"years": {"terms": {"field": "year"}}}}
    ways: tuple[Fusion, ...] = ("sum", "rrf")
    for fusion in ways:
        request = SearchRequest(index, "moonlight", size=0, fusion=fusion, rerank=True, body=body)
        found = await server.client.search(request)
        assert (found.hits, found.total, found.rerank.status) == ((), 6, RerankStatus.NOT_REQUESTED)
        assert found.aggregations is not None
        assert [bucket["doc_count"] for bucket in found.aggregations["years"]["buckets"]] == [3, 3]


async def test_a_path_with_dots_in_its_keys_is_read(server: RunningServer, send: Send, index: str) -> None:
    await server.client.setup_index(index, IndexOptions(fields=(TextField("meta.info.body"),)))
    sources = {"1": {"meta.info": {"body": "moonlight"}}, "2": {"meta": {"info.body": ["sunlight"]}}}
    assert set((await feed(server, index, *(document(*one) for one in sources.items()))).values()) == {"encoded"}
    for word, id in (("moonlight", "1"), ("sunlight", "2")):
        for mode in ("bm25", "sparse"):
            found = await server.client.search(SearchRequest(index, word, mode=mode))
            assert [hit.id for hit in found.hits] == [id], (word, mode)


@pytest.mark.parametrize("alone", [False, True])
async def test_an_update_that_nobody_saw_is_found_by_its_text(
    server: RunningServer, send: Send, index: str, alone: bool
) -> None:
    await bulk(send, index, {str(i): {"title": f"title {i}", "text": "moonlight"} for i in range(3)})
    await server.client.setup_index(index, FIELDS)  # after the first document: its weights lie in _source
    await run(server, index)
    assert await changed(server, index) == set()
    lines = [{"update": {"_id": "1"}}, {"doc": {"text": "sunlight"}}]
    if alone:
        await send("POST", f"/{index}/_update/1", lines[1], refresh="true")
    else:
        body = "".join(json.dumps(line) + "\n" for line in lines).encode()
        await send("POST", f"/{index}/_bulk", body, refresh="true")
    assert await changed(server, index) == {"1"}
    found = await server.client.search(SearchRequest(index, "sunlight"))
    assert [line for line in found.warnings if "1 with another text than was encoded" in line]
    assert last(await run(server, index)).encoded == 1
    assert await changed(server, index) == set()
    found = await server.client.search(SearchRequest(index, "sunlight", mode="sparse"))
    assert [hit.id for hit in found.hits] == ["1"]


async def test_a_routing_is_required_and_found_everywhere(server: RunningServer, send: Send, index: str) -> None:
    settings = {"number_of_shards": 4, "number_of_replicas": 0}
    text = {"type": "text"}
    mappings = {"_routing": {"required": True}, "properties": {"title": text, "text": text}}
    await send("PUT", f"/{index}", {"settings": settings, "mappings": mappings})
    await server.client.setup_index(index, FIELDS)
    named = [document(str(i), {"text": f"moonlight {i}"}, f"r{i}") for i in range(6)]
    within = document("within", {"text": "moonlight", "routing": "r7"})
    outcomes = await feed(server, index, *named, within, document("without", {"text": "moonlight"}))
    assert outcomes.pop("without") == Code.INVALID_ARGUMENT
    assert set(outcomes.values()) == {"encoded"}
    hits = (await send("POST", f"/{index}/_search", {"size": 20}))["hits"]["hits"]
    assert {hit["_id"]: hit["_routing"] for hit in hits} == {**{str(i): f"r{i}" for i in range(6)}, "within": "r7"}
    assert set((await feed(server, index, *named, within)).values()) == {"unchanged"}
    result, explanations = await server.client.explain(SearchRequest(index, "moonlight", size=7))
    assert (len(result.hits), len(explanations)) == (7, 7)
    assert all(one.terms for one in explanations)
    assert await feed(server, index, document("3", {"text": "sunlight"}, "r1")) == {"3": "encoded"}
    dumped = [one async for one in server.client.dump_index(index, ids=["3", "within", "nowhere"])]
    assert sorted((one.id, one.routing, json.loads(one.source_json)["text"]) for one in dumped) == [
        ("3", "r1", "sunlight"),
        ("3", "r3", "moonlight 3"),
        ("within", "r7", "moonlight"),
    ]


async def test_versions_of_the_owner_stay_his(server: RunningServer, send: Send, index: str) -> None:
    text = {"type": "text"}
    await send("PUT", f"/{index}", {"mappings": {"properties": {"title": text, "text": text}}})
    await send("PUT", f"/{index}/_doc/1", {"text": "moonlight"}, version="5", version_type="external", refresh="true")
    await server.client.setup_index(index, FIELDS)
    warned = (await run(server, index, dry_run=True))[0]
    assert isinstance(warned, Estimate)
    assert any(f"--version-type {EXTERNAL}" in note for note in warned.notes)
    assert last(await run(server, index, version_type=EXTERNAL)).encoded == 1
    assert (await send("GET", f"/{index}/_doc/1"))["_version"] == 5
    await send("PUT", f"/{index}/_doc/1", {"text": "sunlight"}, version="6", version_type="external", refresh="true")
    assert last(await run(server, index, version_type=EXTERNAL)).encoded == 1
    found = await server.client.search(SearchRequest(index, "sunlight", mode="sparse"))
    assert [hit.id for hit in found.hits] == ["1"]


async def test_low_versions_that_all_writes_together_do_not_explain_are_seen(
    opensearch: OpenSearchEngine, send: Send, index: str
) -> None:
    await bulk(send, index, {f"own-{i}": {"text": "moonlight"} for i in range(10)})
    assert await opensearch.foreign_versions(index, 64) == 0
    actions = [{"index": {"_id": str(i), "version": 3, "version_type": "external"}} for i in range(40)]
    lines = "".join(json.dumps(line) + "\n" for action in actions for line in (action, {"text": "sunlight"}))
    await send("POST", f"/{index}/_bulk", lines.encode(), refresh="true")
    assert await opensearch.foreign_versions(index, 64) == 40


async def test_setup_refuses_fields_that_nothing_searches(server: RunningServer, send: Send, index: str) -> None:
    await bulk(send, index, {"1": {"title": "a title", "year": 2019}})
    nope = IndexOptions(fields=(TextField("title"), TextField("nope")))
    warned = await server.client.setup_index(index, nope, dry_run=True)
    assert any("'nope': no document" in line and "such as title" in line for line in warned.warnings)
    for name, reason in (("year", "of type long"), ("title.keyword", "is a sub-field")):
        options = IndexOptions(fields=(TextField("title"), TextField(name)))
        for dry_run in (True, False):
            with pytest.raises(ChercheError, match=reason) as refused:
                await server.client.setup_index(index, options, dry_run=dry_run)
            assert refused.value.code is Code.FAILED_PRECONDITION
    assert "cherche_digest" not in json.dumps(await send("GET", f"/{index}/_mapping"))


async def test_a_reindexed_copy_is_told_how_to_go_on(server: RunningServer, send: Send, index: str) -> None:
    await server.client.setup_index(index, FIELDS)
    await feed(server, index, document("1", {"text": "moonlight"}))
    copy, clean = f"{index}-copy", f"{index}-clean"
    try:
        await send("POST", "/_reindex", {"source": {"index": index}, "dest": {"index": copy}}, refresh="true")
        with pytest.raises(ChercheError, match="_reindex from an encoded index") as refused:
            await server.client.setup_index(copy, FIELDS)
        assert "_source" in refused.value.next_step
        report = await server.client.get_index(copy)
        assert (report.stats.documents, report.meta) == (1, None)
        with pytest.raises(ChercheError, match="_reindex from an encoded index"):
            await server.client.remove_index(copy)
        await server.client.setup_index(clean, FIELDS)
        source = {"index": copy, "_source": {"excludes": ["cherche_*"]}}
        await send("POST", "/_reindex", {"source": source, "dest": {"index": clean}}, refresh="true")
        assert last(await run(server, clean)).encoded == 1
    finally:
        await send("DELETE", f"/{index}-*")
