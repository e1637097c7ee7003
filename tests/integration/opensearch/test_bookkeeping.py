"""What people type finds their own text and never what we note beside it, on each product."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.testing import FakeModel, RunningServer, running_server
from sidecar.values.documents import StoredDocument
from sidecar.values.index import IndexOptions, TextField
from sidecar.values.maintenance import BackfillOptions, Progress
from tests.integration.opensearch.corpus import Send

FIELDS = IndexOptions(fields=(TextField("title"), TextField("text")))
OLD = {"cherche_hash": {"type": "keyword"}, "cherche_state": {"type": "keyword"}}
NEW = ("cherche_digest", "cherche_status")
# A text that no value of ours begins with, ends with or lies between, in a field of its own: the control.
PLAIN = {"title": "A title", "text": "Words", "sku": "B-7"}


@pytest.fixture
async def server(opensearch: OpenSearchEngine) -> AsyncIterator[RunningServer]:
    async with running_server(opensearch, [FakeModel()]) as running:
        yield running


async def backfilled(server: RunningServer, index: str) -> Progress:
    options = BackfillOptions(search_slowdown=0.0)
    [*_, done] = [event async for event in server.client.backfill_index(index, options)]
    assert isinstance(done, Progress)
    return done


def words(value: Any) -> Iterator[str]:
    """Every name and every value of a document's own part."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from words(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from words(inner)
    elif value is not None:
        yield str(value)


def typed(word: str) -> Iterator[dict[str, Any]]:
    """Bodies of searches that name no field, or every one."""
    patterns = (word, f"{word[:2]}*", f"*{word[1:]}", f"{word}~2", f"{word[:-1]}?", f"/{word[:1]}.*/", f'"{word}"')
    # `*` over all fields asks for their existence, which OpenSearch refuses of rank_features.
    for text in (one for one in (*patterns, f"[{word[:1]} TO {word}]", f">={word}") if one != "*"):
        yield {"query_string": {"query": text}}
        yield {"query_string": {"query": text, "fields": ["*"]}}
        yield {"simple_query_string": {"query": text}}
        yield {"simple_query_string": {"query": text, "fields": ["*"]}}
    yield {"multi_match": {"query": word}}
    for kind in ("best_fields", "most_fields", "cross_fields", "phrase", "phrase_prefix", "bool_prefix"):
        yield {"multi_match": {"query": word, "fields": ["*"], "type": kind, "lenient": True}}
    yield {"multi_match": {"query": word, "fields": ["*"], "fuzziness": 2, "lenient": True}}
    yield {"multi_match": {"query": word, "fields": ["cherche_*", "title"], "lenient": True}}
    yield {"more_like_this": {"like": [word, {"_id": "1"}], "min_term_freq": 1, "min_doc_freq": 1}}


async def found(send: Send, index: str, queries: list[dict[str, Any]], **body: Any) -> list[Any]:
    """Ids that each query finds, or the refusal's status."""
    lines = [line for query in queries for line in ({}, {"query": query, "_source": False, "size": 50, **body})]
    reply = await send("POST", f"/{index}/_msearch", "".join(json.dumps(one) + "\n" for one in lines).encode())
    answers = reply["responses"]
    return [sorted(hit["_id"] for hit in one["hits"]["hits"]) if "hits" in one else one["status"] for one in answers]


async def test_no_query_finds_what_we_note(
    server: RunningServer, opensearch: OpenSearchEngine, send: Send, index: str
) -> None:
    control = f"{index}-control"
    for name in (index, control):
        await send("PUT", f"/{name}", {"mappings": {"properties": {key: {"type": "text"} for key in PLAIN}}})
    await server.client.setup_index(index, FIELDS)
    await send("PUT", f"/{index}/_doc/1", PLAIN)
    await send("PUT", f"/{index}/_doc/2", {"title": "ok then"}, refresh="true")
    await backfilled(server, index)
    others = [StoredDocument(state, PLAIN, "", state) for state in ("no_text", "pending", "failed")]
    assert not [result.error for result in await opensearch.write(index, others) if result.error]
    for id in ("1", "no_text", "pending", "failed"):
        await send("PUT", f"/{control}/_doc/{id}", PLAIN)
    await send("PUT", f"/{control}/_doc/2", {"title": "ok then"})
    await send("POST", f"/{index},{control}/_refresh")
    try:
        reply = await send("POST", f"/{index}/_search", {"size": 50})
        kept = [{key: hit["_source"].get(key) for key in NEW} for hit in reply["hits"]["hits"]]
        values = {word for one in kept for word in words(one)} | {"partial", "cherche_weights", "sun", "true"}
        assert {"ok", "no_text", "pending", "failed"} < values
        for value in sorted(values):
            queries = list(typed(value))
            ours, theirs = await found(send, index, queries), await found(send, control, queries)
            differ = [(query, *pair) for query, *pair in zip(queries, ours, theirs, strict=True) if pair[0] != pair[1]]
            assert not differ, (value, differ)
        [same] = await found(send, index, [{"query_string": {"query": "ok"}}])
        assert same == ["2"]
        marked = {"query": {"query_string": {"query": "ok words"}}, "size": 50}
        marked["highlight"] = {"fields": {"*": {}}, "require_field_match": False}
        shown = await send("POST", f"/{index}/_search", marked)
        assert {name for hit in shown["hits"]["hits"] for name in hit["highlight"]} <= set(PLAIN)
        fields = (await send("GET", f"/{index}/_field_caps", fields="cherche_*"))["fields"]
        assert set(NEW) <= set(fields)
        assert not [name for name, kinds in fields.items() for kind in kinds.values() if kind["searchable"]]
    finally:
        await send("DELETE", f"/{control}")


@pytest.mark.parametrize("lean", [True, False])
async def test_an_index_of_an_earlier_release_is_moved_by_a_backfill(
    server: RunningServer, opensearch: OpenSearchEngine, send: Send, index: str, lean: bool
) -> None:
    if not lean:
        await send("PUT", f"/{index}", {"mappings": {"properties": {"title": {"type": "text"}}}})
    await server.client.setup_index(index, FIELDS)
    texts = {"1": {"title": "moon", "text": "moonlight"}, "2": {"title": "sun", "text": "sunlight"}}
    for id, source in texts.items():
        await send("PUT", f"/{index}/_doc/{id}", source, refresh="true")
    await backfilled(server, index)
    before = await opensearch.read(index, list(texts))
    old = await as_before(send, index, before)
    try:
        [hits] = await found(send, old, [{"query_string": {"query": "ok"}}])
        assert hits == ["1", "2"]
        for id, document in (await opensearch.read(old, list(texts))).items():
            assert (document.state, document.hash, document.exposed) == ("ok", before[id].hash, True)
        report = await server.client.get_index(old)
        assert report.stats.encoded == 2
        assert [line for line in report.findings if line.startswith("2 documents hold our hash and state where")]
        done = await backfilled(server, old)
        assert (done.encoded, done.failed) == (2, 0)
        report = await server.client.get_index(old)
        assert (report.stats.encoded, [line for line in report.findings if "hash" in line]) == (2, [])
        after = await opensearch.read(old, list(texts))
        for id, document in after.items():
            kept = (document.state, document.hash, document.terms, document.codes, document.source, document.exposed)
            assert kept == ("ok", before[id].hash, before[id].terms, before[id].codes, texts[id], False)
        for query in ("ok", "o*", f"{before['1'].hash[:3]}*"):
            assert await found(send, old, [{"query_string": {"query": query}}]) == [[]], query
    finally:
        await send("DELETE", f"/{old}")


async def as_before(send: Send, index: str, documents: dict[str, StoredDocument]) -> str:
    """A copy of an index as an earlier release would have written it."""
    name = f"{index}-old"
    mappings = (await send("GET", f"/{index}/_mapping"))[index]["mappings"]
    mappings["properties"] = {key: spec for key, spec in mappings["properties"].items() if key not in NEW} | OLD
    await send("PUT", f"/{name}", {"mappings": mappings})
    for id, document in documents.items():
        fields = {"cherche_weights": {"old": 1.0}, "cherche_hash": document.hash, "cherche_state": "ok"}
        for field, value in (("cherche_terms", document.terms), ("cherche_codes", document.codes)):
            fields[field] = b64encode(value or b"").decode()
        body = {**document.source, **fields}
        await send("PUT", f"/{name}/_doc/{id}", body, refresh="true")
    return name
