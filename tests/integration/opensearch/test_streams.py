"""Data streams, patterns and aliases of several indices, on a real cluster."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from uuid import uuid4

import pytest

from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.errors import ChercheError, Code
from sidecar.testing import FakeModel, RunningServer, running_server
from sidecar.values.documents import SourceDocument
from sidecar.values.index import IndexOptions, TextField
from sidecar.values.search import SearchRequest
from tests.integration.opensearch.corpus import Send
from tests.integration.opensearch.test_backfill import bulk, last, run

FIELDS = (TextField("title"), TextField("text"))
ONE, TWO = (IndexOptions(model=name, fields=FIELDS) for name in ("one", "two"))


@pytest.fixture
async def server(opensearch: OpenSearchEngine) -> AsyncIterator[RunningServer]:
    async with running_server(opensearch, [FakeModel(name="one"), FakeModel(name="two", buckets=512)]) as running:
        yield running


@pytest.fixture
async def stream(send: Send, product: str) -> AsyncIterator[str]:
    """A name for which the cluster has a template of data streams, of somebody who knows nothing of weights."""
    if product == "elasticsearch":
        pytest.skip("data streams of Elasticsearch are an X-Pack module, which is on no Maven repository")
    name = f"logs-{uuid4().hex[:8]}"
    mappings = {"_meta": {"owner": "us"}, "_source": {"excludes": ["raw"]}, "properties": {"text": {"type": "text"}}}
    template = {"settings": {"number_of_replicas": 0}, "mappings": mappings}
    body = {"index_patterns": [f"{name}*"], "data_stream": {}, "priority": 50, "template": template}
    await send("PUT", f"/_index_template/{name}", body)
    yield name
    await send("DELETE", f"/_data_stream/{name}*")
    await send("DELETE", f"/_index_template/{name}")


async def append(send: Send, stream: str, documents: Mapping[str, str]) -> None:
    """As a log shipper does."""
    lines = [
        line
        for id, text in documents.items()
        for line in ({"create": {"_id": id}}, {"@timestamp": "2026-01-01", "text": text})
    ]
    body = "".join(json.dumps(line) + "\n" for line in lines)
    assert not (await send("POST", f"/{stream}/_bulk", body.encode(), refresh="true"))["errors"]


async def feed(server: RunningServer, index: str, documents: Mapping[str, Any]) -> dict[str, str]:
    """Outcome by id, or the error's reason."""

    async def stream() -> AsyncIterator[SourceDocument]:
        for id, source in documents.items():
            yield SourceDocument(id, json.dumps(source).encode())

    answers = server.client.index_documents(index, stream())
    return {one.id: one.error.reason if one.error else one.outcome async for one in answers}


def logged(text: str, **more: Any) -> dict[str, Any]:
    return {"@timestamp": "2026-01-01", "text": text, **more}


async def test_a_data_stream_stays_set_up_over_rollovers(server: RunningServer, send: Send, stream: str) -> None:
    await append(send, stream, {"1": "moonlight", "2": "sunlight"})
    result = await server.client.setup_index(stream, ONE)
    assert any(f"{stream}*" in warning for warning in result.warnings)
    assert last(await run(server, stream)).encoded == 2
    await send("POST", f"/{stream}/_rollover")
    [newest] = [one for one in await send("GET", f"/{stream}/_mapping") if one.endswith("2")]
    mapping = (await send("GET", f"/{newest}/_mapping"))[newest]["mappings"]
    assert mapping["_meta"]["owner"] == "us"
    assert {"raw", "cherche_weights", "cherche_codes"} <= set(mapping["_source"]["excludes"])
    await append(send, stream, {"3": "starlight"})
    assert last(await run(server, stream)).encoded == 1
    for text, id in (("moonlight", "1"), ("starlight", "3")):
        found = await server.client.search(SearchRequest(stream, text, mode="sparse"))
        assert [hit.id for hit in found.hits] == [id]
    report = await server.client.get_index(stream)
    assert (report.stats.encoded, report.findings) == (3, ())
    assert not (await server.client.setup_index(stream, ONE)).plan.requests, "nothing is left to do"
    assert len([one async for one in server.client.dump_index(stream)]) == 3

    await server.client.remove_index(stream)
    template = (await send("GET", f"/_index_template/{stream}"))["index_templates"][0]["index_template"]
    assert "cherche" not in json.dumps(template)
    assert template["template"]["mappings"]["_source"]["excludes"] == ["raw"]


async def test_a_feed_writes_a_document_where_it_lies(server: RunningServer, send: Send, stream: str) -> None:
    await server.client.setup_index(stream, ONE)  # the stream is made by it
    assert await feed(server, stream, {"1": logged("moonlight"), "2": logged("sunlight")}) == {
        "1": "encoded",
        "2": "encoded",
    }
    await send("POST", f"/{stream}/_rollover")
    again = {"1": logged("moonlight"), "2": logged("sunlight", n=1), "3": logged("starlight"), "4": {"text": "no time"}}
    outcomes = await feed(server, stream, again)
    assert "timestamp" in outcomes.pop("4")
    assert outcomes == {"1": "unchanged", "2": "reused", "3": "encoded"}
    assert await feed(server, stream, {"2": logged("rewritten")}) == {"2": "encoded"}
    hits = (await send("POST", f"/{stream}/_search", {"size": 10}))["hits"]["hits"]
    assert {hit["_id"]: hit["_index"][-1] for hit in hits} == {"1": "1", "2": "1", "3": "2"}
    report = await server.client.get_index(stream)
    assert (report.stats.documents, report.stats.encoded) == (3, 3)


async def test_an_update_of_a_backing_index_is_encoded(server: RunningServer, send: Send, stream: str) -> None:
    await append(send, stream, {"1": "moonlight"})
    await server.client.setup_index(stream, ONE)
    await run(server, stream)
    [backing] = await send("GET", f"/{stream}/_mapping")
    await send("POST", f"/{backing}/_update/1", {"doc": {"text": "rewritten"}}, refresh="true")
    assert last(await run(server, stream)).encoded == 1
    found = await server.client.search(SearchRequest(stream, "rewritten", mode="sparse"))
    assert [hit.id for hit in found.hits] == ["1"]


@pytest.fixture
async def pattern(send: Send) -> AsyncIterator[str]:
    name = f"test-{uuid4().hex[:8]}-*"
    yield name
    await send("DELETE", f"/{name}")


# The assembled Elasticsearch has a template for all names, which stands for its missing stemmer and covers any pattern.
without_a_template_for_all = pytest.mark.parametrize("product", ["opensearch"], indirect=True)


@without_a_template_for_all
async def test_indices_of_a_pattern_are_set_up_when_they_come(server: RunningServer, send: Send, pattern: str) -> None:
    before, after = (pattern.replace("*", name) for name in ("before", "after"))
    await bulk(send, before, {"1": {"text": "moonlight"}})
    await server.client.setup_index(pattern, ONE)
    await bulk(send, after, {"2": {"text": "sunlight"}})
    assert last(await run(server, pattern)).encoded == 2
    found = await server.client.search(SearchRequest(pattern, "sunlight", mode="sparse"))
    assert [hit.id for hit in found.hits] == ["2"]
    source = (await send("GET", f"/{after}/_mapping"))[after]["mappings"]["_source"]
    assert "cherche_weights" in source["excludes"]
    assert (await server.client.get_index(pattern)).stats.encoded == 2
    with pytest.raises(ChercheError, match="is a pattern") as refused:
        await feed(server, pattern, {"3": {"text": "x"}})
    assert refused.value.code is Code.INVALID_ARGUMENT
    await server.client.remove_index(pattern)
    templates = (await send("GET", "/_index_template"))["index_templates"]
    assert pattern not in json.dumps(templates)


@without_a_template_for_all
async def test_a_pattern_without_indices_is_set_up_for_those_to_come(
    server: RunningServer, send: Send, pattern: str
) -> None:
    with pytest.raises(ChercheError) as missing:
        await server.client.search(SearchRequest(pattern, "x"))
    assert missing.value.code is Code.NOT_FOUND
    await server.client.setup_index(pattern, ONE)
    await bulk(send, pattern.replace("*", "a"), {"1": {"text": "moonlight"}})
    assert last(await run(server, pattern)).encoded == 1
    await server.client.remove_index(pattern)


@pytest.fixture
async def alias(send: Send, index: str) -> AsyncIterator[Callable[..., Any]]:
    """Makes an alias of indices, the last of which takes new documents."""
    name = f"{index}-alias"

    async def make(count: int, **settings: Any) -> tuple[str, list[str]]:
        names = [f"{name}-{number:06}" for number in range(1, count + 1)]
        for each in names:
            aliases = {name: {"is_write_index": each == names[-1]}}
            await send("PUT", f"/{each}", {"settings": {"number_of_replicas": 0}, "aliases": aliases})
        return name, names

    yield make
    await send("DELETE", f"/{name}-*")


async def test_a_feed_of_an_alias_writes_a_document_where_it_lies(
    server: RunningServer, send: Send, alias: Callable[..., Any]
) -> None:
    name, (old, new) = await alias(2)
    await bulk(send, old, {"1": {"text": "moonlight"}})
    await server.client.setup_index(name, ONE)
    assert await feed(server, name, {"1": {"text": "rewritten"}, "2": {"text": "sunlight"}}) == {
        "1": "encoded",
        "2": "encoded",
    }
    hits = (await send("POST", f"/{name}/_search", {"size": 10}))["hits"]["hits"]
    assert {hit["_id"]: hit["_index"] for hit in hits} == {"1": old, "2": new}
    assert await feed(server, name, {"1": {"text": "rewritten"}}) == {"1": "unchanged"}


async def test_an_alias_of_several_models_is_searched_reported_and_fed(
    server: RunningServer, send: Send, alias: Callable[..., Any]
) -> None:
    name, (old, new, bare) = await alias(3)
    for number, each in enumerate((old, new, bare)):
        await bulk(send, each, {str(number): {"text": f"moonlight over {each}"}})
    await server.client.setup_index(old, ONE)
    await server.client.setup_index(new, TWO)
    await run(server, name)
    actions = [{"add": {"index": each, "alias": name, "is_write_index": each == new}} for each in (bare, new)]
    await send("POST", "/_aliases", {"actions": actions})
    report = await server.client.get_index(name)
    assert [(group.names, group.model) for group in report.groups] == [((old,), "one"), ((new,), "two"), ((bare,), "")]
    assert [one for one in report.findings if bare in one and "only BM25" in one]
    found = await server.client.search(SearchRequest(name, "moonlight", size=10))
    scores = {hit.id: hit.parts.sparse for hit in found.hits}
    assert scores["0"] > 0
    assert scores["1"] > 0
    assert scores["2"] == 0
    assert any(bare in warning for warning in found.warnings)

    outcomes = await feed(server, name, {"0": {"text": "rewritten"}, "9": {"text": "sunlight"}})
    assert outcomes["9"] == "encoded"
    assert "another encoding" in outcomes["0"]
    stored = (await send("POST", f"/{new}/_search", {"query": {"ids": {"values": ["9"]}}}))["hits"]["hits"]
    assert len(stored) == 1


async def test_the_next_index_of_a_data_stream_is_of_another_model(
    server: RunningServer, send: Send, stream: str
) -> None:
    await append(send, stream, {"1": "moonlight"})
    await server.client.setup_index(stream, ONE)
    await run(server, stream)

    async def step(name: Any, model: str = "two") -> list[Any]:
        return [one async for one in server.client.upgrade_index(stream, name, IndexOptions(model=model))]

    estimate, prepared = await step("prepare")
    assert (estimate.to_encode, prepared.serving) == (0, ())
    assert "data stream" in estimate.notes[0]
    [switched] = await step("switch")
    assert switched.serving[0].endswith("2")
    assert await feed(server, stream, {"2": logged("moonlight again")}) == {"2": "encoded"}
    report = await server.client.get_index(stream)
    assert ([group.model for group in report.groups], report.findings) == (["one", "two"], ())
    found = await server.client.search(SearchRequest(stream, "moonlight", size=10))
    assert all(hit.parts.sparse > 0 for hit in found.hits)
    assert len(found.hits) == 2
    with pytest.raises(ChercheError, match="already"):
        await step("prepare")
    [back] = await step("rollback")
    assert back.serving[0].endswith("3")
    assert await feed(server, stream, {"3": logged("moonlight")}) == {"3": "encoded"}
    groups = (await server.client.get_index(stream)).groups
    assert {group.model: len(group.names) for group in groups} == {"one": 2, "two": 1}


async def test_a_pattern_within_a_wider_template_gets_a_copy_of_it(
    server: RunningServer, send: Send, pattern: str
) -> None:
    wide, inside, outside = pattern.replace("-*", "*"), pattern.replace("*", "a"), pattern.replace("-*", "other")
    template = {"settings": {"number_of_replicas": 0}, "mappings": {"properties": {"n": {"type": "short"}}}}
    await send("PUT", f"/_index_template/{wide[:-1]}", {"index_patterns": [wide], "priority": 7, "template": template})
    result = await server.client.setup_index(pattern, ONE)
    assert any("is a copy" in warning for warning in result.warnings)
    for name in (inside, outside):
        await send("PUT", f"/{name}")
    found = {name: (await send("GET", f"/{name}/_mapping"))[name]["mappings"] for name in (inside, outside)}
    assert [mapping["properties"]["n"]["type"] for mapping in found.values()] == ["short", "short"]
    assert ["cherche_weights" in mapping["properties"] for mapping in found.values()] == [True, False]
    await server.client.remove_index(pattern)
    names = [one["name"] for one in (await send("GET", "/_index_template"))["index_templates"]]
    assert [name for name in names if wide[:-1] in name] == [wide[:-1]]
    await send("DELETE", f"/_index_template/{wide[:-1]}")
    await send("DELETE", f"/{outside}")


@without_a_template_for_all
async def test_a_template_made_of_component_templates_is_as_it_was(
    server: RunningServer, send: Send, pattern: str
) -> None:
    name, inside = pattern.removesuffix("-*"), pattern.replace("*", "a")
    mappings = {"_source": {"excludes": ["raw"]}, "properties": {"text": {"type": "text"}}}
    await send("PUT", f"/_component_template/{name}", {"template": {"mappings": mappings}})
    body = {"index_patterns": [pattern], "priority": 60, "composed_of": [name]}
    await send("PUT", f"/_index_template/{name}", body)
    before = await send("GET", f"/_index_template/{name}")
    try:
        await server.client.setup_index(pattern, ONE)
        await send("PUT", f"/{inside}")
        source = (await send("GET", f"/{inside}/_mapping"))[inside]["mappings"]["_source"]
        assert {"raw", "cherche_weights"} <= set(source["excludes"])
        removed = await server.client.remove_index(pattern)
        assert not [line for line in removed.remains if "component template" in line]
        assert await send("GET", f"/_index_template/{name}") == before
        mappings["properties"] = {"cherche_codes": {"type": "binary", "doc_values": True}}
        await send("PUT", f"/_component_template/{name}", {"template": {"mappings": mappings}})
        listed = await server.client.remove_index(pattern, dry_run=True)
        [line] = [one for one in listed.remains if "component template" in one]
        assert line.startswith(f"component template {name}, of which template {name} is made, holds our part")
    finally:
        await send("DELETE", f"/_index_template/{name}")
        await send("DELETE", f"/_component_template/{name}")
