"""Searches that continue others, start others, or end before their time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sidecar.errors import ChercheError
from sidecar.values.search import SearchRequest
from tests.integration.plugin.cluster import Cluster
from tests.integration.plugin.requests import ids, match, search, search_pipeline

pytestmark = [pytest.mark.java, pytest.mark.timeout(900)]  # the first builds the plugin and starts the node

TEXT = "automobile film word"


def scored(reply: dict[str, Any]) -> list[tuple[str, float]]:
    return [(hit["_id"], hit["_score"]) for hit in reply["hits"]["hits"]]


async def used_budget(cluster: Cluster) -> int:
    """Bytes that reranks hold of the heap."""
    reply = await cluster.send("GET", "/_nodes/stats/breaker")
    [node] = reply["nodes"].values()
    return int(node["breakers"]["cherche_rerank"]["estimated_size_in_bytes"])


@pytest.mark.parametrize("match_set", ["auto", "lexical"])
async def test_a_walk_by_search_after_finds_each_hit_once(fed: Cluster, match_set: str) -> None:
    pipeline = await search_pipeline(fed, {"rerank": True, "match_set": match_set})
    body: dict[str, Any] = {"query": match(TEXT), "size": 7, "sort": ["_score", {"title.keyword": "asc"}]}
    body["track_total_hits"] = True
    page = await search(fed, body, pipeline)
    walked, total, answers = scored(page), page["hits"]["total"]["value"], [page["ext"]["cherche"]]
    while ids(page):
        page = await search(fed, {**body, "search_after": page["hits"]["hits"][-1]["sort"]}, pipeline)
        walked += scored(page)
        answers.append(page["ext"]["cherche"])
        assert page["hits"]["total"]["value"] == total
    assert len({id for id, _ in walked}) == len(walked) == total == 60
    assert [score for _, score in walked] == sorted((score for _, score in walked), reverse=True)
    assert {(one["query_status"], one["rerank_status"]) for one in answers} == {("REWRITTEN", "SKIPPED_SORT")}
    assert len({one["match_set"] for one in answers}) == 1


async def test_inner_searches_of_collapse_run_as_the_one_around_them(fed: Cluster) -> None:
    pipeline = await search_pipeline(fed, {"rerank": True})
    inner = {"name": "same", "size": 3, "sort": ["_score"]}
    body = {"query": match(TEXT), "size": 5, "collapse": {"field": "text.keyword", "inner_hits": inner}}

    def inner_hits(reply: dict[str, Any]) -> list[list[tuple[str, float]]]:
        return [scored(hit["inner_hits"]["same"]) for hit in reply["hits"]["hits"]]

    plain = await search(fed, body)
    off = await search(fed, {**body, "ext": {"cherche": {"mode": "off"}}}, pipeline)
    assert (scored(off), inner_hits(off)) == (scored(plain), inner_hits(plain))
    hybrid = await search(fed, body, pipeline)
    assert hybrid["ext"]["cherche"]["rerank_status"] == "APPLIED"
    assert "matched_queries" not in str(hybrid)
    for hit, group in zip(hybrid["hits"]["hits"], inner_hits(hybrid), strict=True):
        assert dict(group)[hit["_id"]] == hit["fields"]["cherche_first_stage"][0]
        assert hit["fields"]["cherche_first_stage"][0] == max(score for _, score in group)


@pytest.mark.parametrize("minimize", ["true", "false"])
async def test_a_search_that_spans_clusters_is_plain_on_all_of_them(fed: Cluster, minimize: str) -> None:
    """The node is a remote cluster to itself."""
    [node] = (await fed.send("GET", "/_nodes/_local/transport"))["nodes"].values()
    seeds = [node["transport"]["publish_address"]]
    await fed.send("PUT", "/_cluster/settings", {"persistent": {"cluster.remote.me.seeds": seeds}})
    try:
        pipeline = await search_pipeline(fed, {"rerank": True})
        path = f"/{fed.index},me:{fed.index}/_search"
        body, options = {"query": match(TEXT), "size": 30}, {"ccs_minimize_roundtrips": minimize}
        plain = await fed.send("POST", path, body, search_pipeline="_none", **options)
        await fed.send("PUT", f"/{fed.index}/_settings", {"index.search.default_pipeline": pipeline})
        assert (await search(fed, body))["ext"]["cherche"]["query_status"] == "REWRITTEN"
        for named in ({}, {"search_pipeline": pipeline}):
            reply = await fed.send("POST", path, body, **named, **options)
            answer = reply["ext"]["cherche"]
            assert (answer["query_status"], answer["rerank_status"]) == ("CROSS_CLUSTER", "CROSS_CLUSTER")
            assert sorted(scored(reply)) == sorted(scored(plain))
            assert {hit["_index"] for hit in reply["hits"]["hits"]} == {fed.index, f"me:{fed.index}"}
            assert "cherche" not in str(reply["hits"]["hits"][0].get("fields", ""))
        with pytest.raises(ChercheError, match="is a name of another cluster"):
            await fed.server.client.search(SearchRequest(f"me:{fed.index}", TEXT))
    finally:
        await fed.send("PUT", "/_cluster/settings", {"persistent": {"cluster.remote.me.seeds": None}})


async def test_a_window_beyond_the_indexes_limit_is_cut_and_it_is_said(fed: Cluster) -> None:
    pipeline = await search_pipeline(fed, {"rerank": True, "rerank_window": 50})
    await fed.send("PUT", f"/{fed.index}/_settings", {"index.max_result_window": 20})
    said = "window of 50 hits is cut to index.max_result_window, 20"
    answer = (await search(fed, {"query": match(TEXT)}, pipeline))["ext"]["cherche"]
    assert (answer["rerank_status"], answer["rerank_window"], answer["rerank_window_shrunk"]) == ("APPLIED", 20, True)
    assert answer["rerank_reason"] == f"the {said}"
    own = SearchRequest(fed.index, TEXT, rerank=True, rerank_window=50)
    for request in (own, replace(own, fusion="rrf")):
        result = await fed.server.client.search(request)
        assert (result.rerank.status, result.rerank.window) == ("APPLIED", 20)
        assert f"the rerank {said}" in result.warnings


@pytest.mark.parametrize("maxsim", ["shards", "sidecar"])
async def test_scores_fall_across_the_edge_of_the_window(fed: Cluster, maxsim: str) -> None:
    pipeline = await search_pipeline(fed, {"rerank": True, "rerank_window": 15, "maxsim": maxsim, "match_set": "union"})
    body = {"query": match(TEXT), "explain": True}
    whole = await search(fed, {**body, "size": 40}, pipeline)
    scores = [hit["_score"] for hit in whole["hits"]["hits"]]
    assert len(scores) == 40
    assert scores == sorted(scores, reverse=True)
    assert scores[14] >= 0 > scores[15]
    assert whole["hits"]["max_score"] == scores[0]
    pages = [await search(fed, {**body, "from": start, "size": 10}, pipeline) for start in (0, 10, 20, 30)]
    assert [one for page in pages for one in scored(page)] == scored(whole)
    for page in pages:
        assert page["hits"]["max_score"] >= max(hit["_score"] for hit in page["hits"]["hits"])
    for hit in whole["hits"]["hits"]:
        assert hit["_explanation"]["value"] == hit["_score"]
    request = SearchRequest(
        fed.index, TEXT, body={"query": body["query"]}, match_set="union", size=40, rerank=True, rerank_window=15
    )
    own = await fed.server.client.search(request)
    assert [hit.id for hit in own.hits] == ids(whole)
    assert [hit.score for hit in own.hits] == pytest.approx(scores, rel=1e-4, abs=1e-6)


async def test_a_search_that_fails_holds_nothing_of_the_budget(fed: Cluster) -> None:
    pipeline = await search_pipeline(fed, {"rerank": True, "maxsim": "sidecar"})
    before = await used_budget(fed)
    with pytest.raises(ChercheError, match="Result window is too large"):
        await search(fed, {"query": match(TEXT), "size": 20_000}, pipeline)
    assert await used_budget(fed) == before
    assert (await search(fed, {"query": match(TEXT)}, pipeline))["ext"]["cherche"]["rerank_status"] == "APPLIED"
    assert await used_budget(fed) == before
