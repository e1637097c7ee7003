"""Weights for Seismic: refused by a cluster without neural-search, and the whole way through one that acts it out.

The plugin itself cannot be had here. Below ``approximate_threshold`` it asks what a `rank_features` field is asked, by
its documentation ("Hybrid indexing behavior"), so that a real OpenSearch can answer in its place: `ActedOut` reads each
request by the documented shape, refuses any other, and translates it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from sidecar.engines.opensearch import OpenSearchEngine, seismic
from sidecar.engines.opensearch.http import Transport
from sidecar.errors import ChercheError, Code
from sidecar.testing import FakeModel, RunningServer, running_server
from sidecar.values.documents import SourceDocument
from sidecar.values.index import IndexOptions
from sidecar.values.maintenance import BackfillOptions, Switched
from sidecar.values.search import SearchRequest, SearchResult

pytestmark = pytest.mark.java

TEXTS = {
    "1": "the blue sea is wide and deep",
    "2": "the blue sky is blue",
    "3": "a red car on a wide road",
    "4": "deep in the forest",
    "5": "the sky above the sea",
    "6": "nothing at all",
}


@dataclass
class ActedOut:
    """A real cluster, asked for `rank_features` in place of what the plugin adds."""

    cluster: Transport
    queries: list[Any] = field(default_factory=list)
    sparse: set[str] = field(default_factory=set)  # names of indices that were created with the plugin's setting

    async def perform_request(self, method: str, url: str, params: Any = None, body: Any = None, **given: Any) -> Any:
        if method == "PUT" and isinstance(body, Mapping) and "settings" in body:
            body = {**body, "settings": self.without_setting(url.strip("/"), body["settings"])}
        reply = await self.cluster.perform_request(method, url, params=params, body=self.translated(body), **given)
        if url == "/_nodes/plugins":
            for node in reply["nodes"].values():
                node["plugins"].append({"name": seismic.PLUGIN, "version": f"{node['version']}.0"})
        return self.answered(reply)

    async def close(self) -> None:
        await self.cluster.close()

    def translated(self, body: Any) -> Any:
        if isinstance(body, list):
            return [self.translated(one) for one in body]
        if not isinstance(body, Mapping):
            return body
        if set(body) == {"neural_sparse"}:
            return self.ranked(body["neural_sparse"])
        if body.get("type") == "sparse_vector":
            assert body["method"]["name"] == "seismic"
            assert set(body["method"]) <= {"name", "parameters"}
            return {"type": "rank_features"}
        return {key: self.translated(value) for key, value in body.items()}

    def without_setting(self, index: str, settings: Any) -> Any:
        """Settings that a cluster without the plugin knows."""
        kept = {key: value for key, value in settings.items() if key != seismic.SETTING}
        kept = {} if kept == {"index": {"sparse": True}} else kept
        if kept != settings:
            self.sparse.add(index)
        return kept

    def ranked(self, query: Any) -> Any:
        self.queries.append(query)
        [(name, asked)] = query.items()
        parameters = asked["method_parameters"]
        assert set(asked) == {"query_tokens", "method_parameters"}
        assert set(parameters) <= {"k", "top_n", "heap_factor", "filter"}
        assert all(token.isdecimal() and 0 < weight <= 64 for token, weight in asked["query_tokens"].items())
        features = [
            {"rank_feature": {"field": f"{name}.{token}", "linear": {}, "boost": weight}}
            for token, weight in asked["query_tokens"].items()
        ]
        condition = {"filter": [parameters["filter"]]} if "filter" in parameters else {}
        return {"bool": {"should": features, "minimum_should_match": 1, **condition}}

    def answered(self, reply: Any) -> Any:
        """Mappings and settings as the plugin would have kept them."""
        for name in self.sparse & reply.keys() if isinstance(reply, dict) else ():
            properties = reply[name].get("mappings", {}).get("properties", {})
            if "cherche_weights" in properties:
                assert properties["cherche_weights"] == {"type": "rank_features"}
                properties["cherche_weights"] = json.loads(json.dumps(seismic.FIELD))
            if "settings" in reply[name]:
                reply[name]["settings"][seismic.SETTING] = "true"
        return reply


async def test_a_cluster_without_the_plugin_is_refused_and_nothing_is_made(
    opensearch: OpenSearchEngine, product: str, index: str
) -> None:
    async with running_server(opensearch, [FakeModel()]) as server:
        for dry_run in (True, False):
            with pytest.raises(ChercheError) as refused:
                await server.client.setup_index(index, IndexOptions(weights="seismic"), dry_run=dry_run)
            assert refused.value.code == Code.FAILED_PRECONDITION
            reason = "has none" if product == "opensearch" else "it has no neural-search"
            assert reason in refused.value.reason
            assert refused.value.next_step.endswith("set the index up with --weights rank_features")
        with pytest.raises(ChercheError) as missing:
            await opensearch.meta(index)
        assert missing.value.code == Code.NOT_FOUND


@pytest.fixture
async def acted(opensearch_url: str) -> AsyncIterator[tuple[RunningServer, ActedOut]]:
    engine = OpenSearchEngine.connect(opensearch_url)
    cluster = ActedOut(engine._http.transport)
    with_plugin = OpenSearchEngine(replace(engine._http, transport=cluster))
    async with running_server(with_plugin, [FakeModel()]) as server:
        yield server, cluster
    await engine.aclose()


async def filled(server: RunningServer, index: str, weights: str) -> None:
    await server.client.setup_index(index, IndexOptions(weights=weights))

    async def arriving() -> AsyncIterator[SourceDocument]:
        for id, text in TEXTS.items():
            yield SourceDocument(id, json.dumps({"title": id, "text": text, "n": int(id)}).encode())

    answers = [one async for one in server.client.index_documents(index, arriving(), refresh=True)]
    assert [(one.error, one.outcome) for one in answers] == [(None, "encoded")] * len(TEXTS)


def found(result: SearchResult) -> dict[str, Any]:
    scores = (hit.parts for hit in result.hits)
    parts = {hit.id: (part.lexical, part.sparse) for hit, part in zip(result.hits, scores, strict=True)}
    return {"ids": [hit.id for hit in result.hits], "parts": parts, "match_set": result.match_set}


ASKED: dict[str, dict[str, Any]] = {
    "hybrid": {},
    "sparse": {"mode": "sparse"},
    "with a rerank": {"rerank": True},
    "by ranks": {"fusion": "rrf"},
    "a filter": {"body": {"filter": {"range": {"n": {"gte": 2}}}}},
    "the query decides": {"match_set": "lexical", "body": {"query": {"match": {"text": "{{text}}"}}}},
    "conditions of a query": {
        "body": {
            "query": {
                "bool": {
                    "must": [{"match": {"text": "{{text}}"}}],
                    "must_not": [{"term": {"n": {"value": 1, "_name": "x"}}}],
                }
            }
        }
    },
    "sorted": {"body": {"sort": [{"n": "asc"}]}},
}


CONDITIONED = ("a filter", "the query decides", "conditions of a query", "sorted")


@pytest.mark.parametrize("product", ["opensearch"])
async def test_the_whole_way_is_that_of_rank_features(
    acted: tuple[RunningServer, ActedOut], opensearch: OpenSearchEngine, index: str, product: str
) -> None:
    server, cluster = acted
    ranked = f"{index}-ranked"
    try:
        await filled(server, index, "seismic")
        await filled(server, ranked, "rank_features")
        for name, asked in ASKED.items():
            before = len(cluster.queries)
            request = SearchRequest(index, "deep blue sky", size=5, **asked)
            here, there = (
                await server.client.search(request),
                await server.client.search(replace(request, index=ranked)),
            )
            assert found(here)["ids"] == found(there)["ids"], name
            for id, parts in found(there)["parts"].items():
                assert found(here)["parts"][id] == pytest.approx(parts, rel=1e-5, abs=1e-5), (name, id)
            assert found(here)["match_set"] == found(there)["match_set"], name
            asked_for = [query["cherche_weights"]["method_parameters"] for query in cluster.queries[before:]]
            # Ranks of both parts are completed by the ids of their hits.
            assert len(asked_for) == (3 if name == "by ranks" else 1), name
            assert ("filter" in asked_for[0]) == (name in CONDITIONED), name
        report = await server.client.get_index(index)
        assert report.meta is not None
        assert (report.meta.weights, report.findings) == ("seismic", ())
        stored = await opensearch.meta(index)
        assert stored is not None
        assert (stored.weights, stored.naming) == ("seismic", "id")
        assert (report.stats.encoded, report.stats.documents) == (len(TEXTS), len(TEXTS))
        removed = await server.client.remove_index(index)
        assert removed.documents == len(TEXTS)
        assert f"{index}: unused mapping of cherche_weights" in removed.remains
    finally:
        for name in (index, ranked):
            await opensearch._http.transport.perform_request(
                "DELETE", f"/{name}", params={"ignore_unavailable": "true"}
            )


@pytest.mark.parametrize("product", ["opensearch"])
async def test_an_index_in_use_gets_them_by_an_upgrade(
    acted: tuple[RunningServer, ActedOut], opensearch: OpenSearchEngine, index: str, product: str
) -> None:
    server, cluster = acted
    new = f"{index}-new"
    try:
        await filled(server, index, "rank_features")
        with pytest.raises(ChercheError, match="holds weights as rank_features, not as seismic") as refused:
            await server.client.setup_index(index, IndexOptions(weights="seismic"))
        assert refused.value.next_step == f"run: cherche upgrade {index} --weights seismic --replace"
        options, settings = IndexOptions(weights="seismic"), BackfillOptions(search_slowdown=0)
        steps = server.client.upgrade_index(index, "prepare", options, shadow=new, settings=settings)
        assert isinstance([one async for one in steps][-1], Switched)
        assert cluster.sparse == {new}
        request = SearchRequest(index, "deep blue sky", size=5)
        there, here = await server.client.search(request), await server.client.search(replace(request, index=new))
        assert found(here)["ids"] == found(there)["ids"]
        assert len(cluster.queries) == 1
    finally:
        for name in (index, new):
            await opensearch._http.transport.perform_request(
                "DELETE", f"/{name}", params={"ignore_unavailable": "true"}
            )
