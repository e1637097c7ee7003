"""Hits of the cluster's own search have the passages that the sidecar's search has, and slices of what is stored."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.values.search import SearchRequest
from tests.integration.plugin.cluster import Cluster
from tests.integration.plugin.requests import bulk, ids, ingest_pipeline, match, search, search_pipeline

pytestmark = [pytest.mark.java, pytest.mark.timeout(900)]  # the first builds the plugin and starts the node

LONG = "word " * 60 + "👩🏽‍🚀 <b>a cafe\u0301 with a\tpiano</b> 🙂, שלום. " + "more " * 60
SOURCES: dict[str, dict[str, Any]] = {
    "long": {"title": "a piano", "text": LONG, "year": 1},
    "list": {"title": ["nothing", None, "the piano in the café"], "text": "", "year": 2},
    "short": {"title": "x", "text": "piano", "year": 3},
}
PASSAGES = {"cherche": {"passages": 2}}


@pytest.fixture
async def pianos(cluster: Cluster) -> Cluster:
    await cluster.settings(passages__deadline="25s")
    await bulk(cluster, SOURCES, await ingest_pipeline(cluster))
    return cluster


def passages(reply: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Passages of each hit, each a slice of what is stored."""
    found = {hit["_id"]: hit.get("fields", {}).get("cherche_passages", []) for hit in reply["hits"]["hits"]}
    for id, some in found.items():
        for one in some:
            value = SOURCES[id][one["field"]]
            value = value[one["element"]] if isinstance(value, list) else value
            assert value[one["start"] : one["end"]] == one["text"]
            for answer in one["answers"]:
                assert one["start"] <= answer["start"] < answer["end"] <= one["end"]
    return found


@pytest.mark.parametrize(
    "query", [{}, {"rerank": True}, {"rerank": True, "maxsim": "sidecar"}, {"match_set": "lexical"}]
)
async def test_they_are_those_of_the_sidecars_search(pianos: Cluster, query: dict[str, Any]) -> None:
    pipeline = await search_pipeline(pianos, query)
    reply = await search(pianos, {"query": match("café piano"), "ext": PASSAGES}, pipeline)
    assert reply["ext"]["cherche"]["passages_status"] == "FOUND"
    assert "passages_reason" not in reply["ext"]["cherche"]
    found = passages(reply)
    request = SearchRequest(pianos.index, "café piano", body={"query": match("café piano")}, passages=2)
    wanted = await pianos.server.client.search(request)
    assert set(found) == set(SOURCES)
    for hit in wanted.hits:
        assert [(one["field"], one["element"], one["start"], one["end"]) for one in found[hit.id]] == [
            (one.field, one.element, one.start, one.end) for one in hit.passages
        ]
        assert [one["score"] for one in found[hit.id]] == pytest.approx([one.score for one in hit.passages], rel=1e-5)
        assert not any(one["encoded_now"] for one in found[hit.id])
    assert "👩🏽‍🚀 <b>a cafe\u0301 with a\tpiano</b> 🙂" in found["long"][0]["text"]
    assert (found["list"][0]["field"], found["list"][0]["element"]) == ("title", 2)


@pytest.mark.parametrize(
    "body",
    [
        {"_source": False},
        {"_source": ["year"]},
        {"sort": [{"year": "desc"}]},
        {"size": 1, "from": 1},
        {"_source": {"excludes": ["t*"]}, "stored_fields": ["year"]},
    ],
)
async def test_they_depend_on_nothing_else_that_a_search_returns(pianos: Cluster, body: dict[str, Any]) -> None:
    pipeline = await search_pipeline(pianos)
    asked = {"query": match("piano"), **body}
    plain = await search(pianos, asked, pipeline)
    reply = await search(pianos, asked | {"ext": PASSAGES}, pipeline)
    assert ids(reply) == ids(plain)
    assert all(passages(reply).values())
    for hit, without in zip(reply["hits"]["hits"], plain["hits"]["hits"], strict=True):
        fields = {name: value for name, value in hit.get("fields", {}).items() if name != "cherche_passages"}
        assert {**hit, "fields": fields} == {**without, "fields": without.get("fields", {})}


async def test_number_size_and_fields(pianos: Cluster) -> None:
    pipeline = await search_pipeline(pianos)
    options = {"count": 3, "size": 4, "fields": ["text"]}
    reply = await search(pianos, {"query": match("piano"), "ext": {"cherche": {"passages": options}}}, pipeline)
    found = passages(reply)
    assert len(found["long"]) == 3
    assert all(len(one["text"].split()) <= 6 for one in found["long"])
    assert {one["field"] for some in found.values() for one in some} == {"text"}
    said = reply["ext"]["cherche"]
    assert said["passages_status"] == "PARTIAL"
    assert said["passages_reason"] == "no passages of 1 of 3 hits: they have no text in text"


async def test_a_point_in_time_has_the_passages_of_its_own_texts(pianos: Cluster) -> None:
    pipeline = await search_pipeline(pianos)
    point = await pianos.send("POST", f"/{pianos.index}/_search/point_in_time", keep_alive="1m")
    await bulk(pianos, {"short": {"title": "x", "text": "a new piano"}}, f"{pianos.index}-ingest")
    body = {"query": match("piano"), "ext": PASSAGES, "pit": {"id": point["pit_id"]}}
    reply = dict(await pianos.send("POST", "/_search", body, search_pipeline=pipeline))
    assert passages(reply)["short"][0]["text"] == "piano"
    now = await search(pianos, {"query": match("piano"), "ext": PASSAGES}, pipeline)
    new = {hit["_id"]: hit["fields"]["cherche_passages"][0]["text"] for hit in now["hits"]["hits"]}
    assert new["short"] == "a new piano"
    await pianos.send("DELETE", "/_search/point_in_time", {"pit_id": [point["pit_id"]]})


async def test_ids_that_several_routings_share_have_their_own(pianos: Cluster) -> None:
    pipeline = await search_pipeline(pianos)
    texts = {"r1": "one grand piano", "r2": "two upright pianos, one piano"}
    for routing, text in texts.items():
        path = f"/{pianos.index}/_doc/shared"
        await pianos.send(
            "PUT", path, {"text": text}, routing=routing, pipeline=f"{pianos.index}-ingest", refresh="true"
        )
    reply = await search(pianos, {"query": {"match": {"text": "piano"}}, "size": 20, "ext": PASSAGES}, pipeline)
    for hit in reply["hits"]["hits"]:
        if hit["_id"] == "shared":
            assert hit["fields"]["cherche_passages"][0]["text"] == hit["_source"]["text"]


async def test_a_sidecar_that_fails_costs_the_passages_alone(pianos: Cluster) -> None:
    pipeline = await search_pipeline(pianos)
    body = {"query": match("piano")}
    assert (await search(pianos, body, pipeline))["ext"]["cherche"]["query_status"] == "REWRITTEN"
    await pianos.settings(endpoints=["127.0.0.1:1"], passages__deadline="300ms")
    reply = await search(pianos, body | {"ext": PASSAGES}, pipeline)
    said = reply["ext"]["cherche"]
    assert said["query_status"] == "REWRITTEN", "the encoded query is kept"
    assert said["passages_status"] in ("UNAVAILABLE", "DEADLINE")
    assert said["passages_reason"]
    assert set(ids(reply)) == set(SOURCES)
    assert not any(passages(reply).values())


async def test_a_text_that_changed_without_being_encoded_is_encoded_now(pianos: Cluster) -> None:
    pipeline = await search_pipeline(pianos, {"match_set": "lexical"})
    await pianos.send("PUT", f"/{pianos.index}/_doc/new", {"text": "another piano"}, refresh="true")
    reply = await search(pianos, {"query": match("another piano"), "ext": PASSAGES}, pipeline)
    [first] = [hit for hit in reply["hits"]["hits"] if hit["_id"] == "new"]
    assert [(one["text"], one["encoded_now"]) for one in first["fields"]["cherche_passages"]] == [
        ("another piano", True)
    ]


async def test_aliases_with_a_filter_show_what_they_show(pianos: Cluster) -> None:
    pipeline = await search_pipeline(pianos)
    alias = f"{pianos.index}-late"
    actions = [{"add": {"index": pianos.index, "alias": alias, "filter": {"range": {"year": {"gte": 2}}}}}]
    await pianos.send("POST", "/_aliases", {"actions": actions})
    body = {"query": match("piano"), "ext": PASSAGES}
    reply = dict(await pianos.send("POST", f"/{alias}/_search", body, search_pipeline=pipeline))
    assert set(passages(reply)) == {"list", "short"}
    assert all(passages(reply).values())
    assert reply["ext"]["cherche"]["passages_status"] == "FOUND"
