"""On a real server, by the sidecar and by the plugin: no hit breaks a condition of its caller.

The engine itself says what a body matches without us, and `Case.broken_by` what its caller demanded.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from sidecar.values.search import SearchRequest
from tests.bodies import ENCODED, MAPPING, SYNONYMS, Case, cases, documents
from tests.integration.plugin.cluster import Cluster
from tests.integration.plugin.requests import bulk, ids, ingest_pipeline, search, search_pipeline

pytestmark = [pytest.mark.java, pytest.mark.timeout(1800)]  # the first builds the plugin and starts the node

DOCUMENTS = documents()
CASES = cases(1_000, seed=8)
SIZE = 300


@pytest.fixture
async def tenants(cluster: Cluster) -> Cluster:
    """An index with documents of three tenants."""
    cluster.model.synonyms = SYNONYMS
    others = {name: kind for name, kind in MAPPING.items() if name not in ENCODED}
    await cluster.send("PUT", f"/{cluster.index}/_mapping", {"properties": others})
    await bulk(cluster, DOCUMENTS, await ingest_pipeline(cluster))
    return cluster


def check(case: Case, hits: list[str], plain: set[str], answer: Mapping[str, Any]) -> bool:
    """Whether weights brought in hits; fails where these break a condition."""
    broken = {id: case.broken_by(id, DOCUMENTS[id]) for id in hits}
    assert not any(broken.values()), (case.body, broken, answer)
    assert len(hits) == len(set(hits))
    assert set(hits) >= plain, (case.body, answer)
    if not case.is_open:
        assert set(hits) == plain, (case.body, answer)
    assert (set(hits) == plain) or answer["match_set"] == "union", (case.body, answer)
    return set(hits) > plain


async def searches(cluster: Cluster, bodies: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Replies to searches of the index, in order, many in one request."""
    replies: list[dict[str, Any]] = []
    for start in range(0, len(bodies), 50):
        lines = [line for body in bodies[start : start + 50] for line in ("{}", json.dumps(body))]
        sent = ("\n".join(lines) + "\n").encode()
        replies += (await cluster.send("POST", f"/{cluster.index}/_msearch", sent))["responses"]
    assert not [reply["error"] for reply in replies if "error" in reply]
    return replies


async def test_conditions_bind_on_every_way_in(tenants: Cluster) -> None:
    bodies = [{**case.body, "size": SIZE, "_source": False} for case in CASES]
    plain = [set(ids(reply)) for reply in await searches(tenants, bodies)]
    pipeline = await search_pipeline(tenants, {"rerank": False})
    await tenants.send("PUT", f"/{tenants.index}/_settings", {"index.search.default_pipeline": pipeline})
    for case, body in list(zip(CASES, bodies, strict=True))[1::2]:
        body["ext"] = {"cherche": {"text": case.text}}
    widened = {"sidecar": 0, "plugin": 0}
    for case, hits, reply in zip(CASES, plain, await searches(tenants, bodies), strict=True):
        widened["plugin"] += check(case, ids(reply), hits, reply["ext"]["cherche"])

    async def by_sidecar(case: Case, hits: set[str]) -> None:
        result = await tenants.server.client.search(SearchRequest(tenants.index, case.text, body=case.body, size=SIZE))
        answer = {"match_set": result.match_set, "reason": result.match_set_reason}
        widened["sidecar"] += check(case, [hit.id for hit in result.hits], hits, answer)

    for start in range(0, len(CASES), 8):
        some = zip(CASES[start : start + 8], plain[start : start + 8], strict=True)
        await asyncio.gather(*(by_sidecar(case, hits) for case, hits in some))
    assert min(widened.values()) > 50, widened


async def test_a_walk_of_pages_loses_nothing_where_facets_are_on_the_first_alone(tenants: Cluster) -> None:
    pipeline = await search_pipeline(tenants, {"rerank": False})
    query = {"query": {"match": {"text": "red fox"}}, "size": 20, "track_total_hits": True}
    facets = {"aggs": {"groups": {"terms": {"field": "group"}}}}
    first = await search(tenants, {**query, **facets}, pipeline)
    walked, total = ids(first), first["hits"]["total"]["value"]
    while len(walked) < total:
        page = await search(tenants, {**query, "from": len(walked)}, pipeline)
        assert page["ext"]["cherche"]["match_set"] == first["ext"]["cherche"]["match_set"] == "union"
        walked += ids(page)
    assert len(set(walked)) == len(walked) == total > 100


async def test_a_text_beyond_the_limit_is_refused_and_said_so(tenants: Cluster) -> None:
    pipeline = await search_pipeline(tenants, {"rerank": True})
    reply = await search(tenants, {"query": {"match": {"text": f"fox {'x' * 9_000}"}}}, pipeline)
    answer = reply["ext"]["cherche"]
    assert (answer["query_status"], answer["rerank_status"]) == ("REFUSED", "REFUSED")
    assert "9,004 characters, the limit is 8,192" in answer["query_reason"]


async def test_a_script_score_is_reranked_as_it_was_written(tenants: Cluster) -> None:
    pipeline = await search_pipeline(tenants, {"rerank": True})
    query = {"script_score": {"query": {"term": {"group": "t1"}}, "script": {"source": "doc['year'].value"}}}
    reply = await search(tenants, {"query": query, "ext": {"cherche": {"text": "red fox"}}}, pipeline)
    answer = reply["ext"]["cherche"]
    assert (answer["query_status"], answer["match_set"], answer["rerank_status"]) == ("AS_WRITTEN", "none", "APPLIED")
    assert all(DOCUMENTS[id]["group"] == "t1" for id in ids(reply))


async def test_punctuation_finds_nothing(tenants: Cluster) -> None:
    pipeline = await search_pipeline(tenants, {"rerank": False})
    reply = await search(tenants, {"query": {"match": {"text": "?! ..."}}}, pipeline)
    assert (ids(reply), reply["ext"]["cherche"]["query_status"]) == ([], "NO_TERMS")
    result = await tenants.server.client.search(SearchRequest(tenants.index, "?! ..."))
    assert (result.hits, result.match_set) == ((), "lexical")


async def test_fields_that_are_searched_as_one_are_a_text(tenants: Cluster) -> None:
    pipeline = await search_pipeline(tenants, {"rerank": False})
    clause = {"query": "red fox", "fields": ["title", "text"]}
    for options, match_set in (({}, "union"), ({"operator": "and"}, "lexical")):
        body = {"query": {"combined_fields": {**clause, **options}}, "size": SIZE}
        plain, reply = set(ids(await search(tenants, body))), await search(tenants, body, pipeline)
        answer = reply["ext"]["cherche"]
        assert (answer["query_status"], answer["match_set"]) == ("REWRITTEN", match_set)
        result = await tenants.server.client.search(
            SearchRequest(tenants.index, "", body={"query": body["query"]}, size=SIZE)
        )
        assert result.match_set == match_set
        for found in (set(ids(reply)), {hit.id for hit in result.hits}):
            assert found > plain if match_set == "union" else found == plain
