"""Weights for Seismic: the field, the query, and which clusters can hold and search them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sidecar.engines.opensearch import fields, mapping, seismic
from sidecar.engines.opensearch.dialect import choose
from sidecar.engines.opensearch.query import search_body
from sidecar.engines.opensearch.successors import creation
from sidecar.engines.opensearch.templates import Template
from sidecar.errors import ChercheError, Code
from sidecar.values.documents import SEISMIC
from sidecar.values.first_stage import Query, SparseClause
from sidecar.values.index import Fingerprint, IndexMeta, TextField
from tests.unit.sidecar.engines.opensearch.fakes import FakeTransport, Sent, engine, http, refusal

META = IndexMeta("m", Fingerprint("s"), (TextField("title"),), 64, naming="id", weights=SEISMIC)
CLAUSES = (SparseClause(7592, "7592", 2.0), SparseClause(1012, "1012", 0.25))
QUERY = Query("run it", "hybrid", (TextField("title"),), clauses=CLAUSES, sparse_boost=0.5, weights=SEISMIC)
RANKED = {"cherche_weights": {"type": "rank_features"}}


def listing(*versions: str | None) -> dict[str, Any]:
    """What `_nodes/plugins` answers of nodes with these versions of the plugin."""
    other = {"name": "opensearch-knn", "version": "3.5.0.0"}
    nodes = {
        f"id-{place}": {
            "name": f"node-{place}",
            "plugins": [other, *([{"name": seismic.PLUGIN, "version": version}] if version else [])],
        }
        for place, version in enumerate(versions)
    }
    return {"_nodes": {"total": len(nodes)}, "cluster_name": "c", "nodes": nodes}


def root(number: str) -> dict[str, Any]:
    return {"version": {"distribution": "opensearch", "number": number}}


async def checked(reply: Any, version: str = "3.5.0") -> FakeTransport:
    transport = FakeTransport(lambda _: reply)
    await seismic.check(http(transport), choose(root(version)))
    return transport


async def test_a_cluster_whose_every_node_has_the_plugin_is_taken() -> None:
    [asked] = (await checked(listing("3.5.0.0", "3.3.0.0-SNAPSHOT", "4.0.0.0"))).sent
    assert (asked.method, asked.path) == ("GET", "/_nodes/plugins")


@pytest.mark.parametrize(
    ("reply", "version", "reason"),
    [
        (listing(None), "3.8.0", "3.3 or later on every node: node node-0 has none"),
        (listing("3.5.0.0", None), "3.5.0", "node node-1 has none"),
        (listing("3.2.0.0"), "3.3.0", "node node-0 has 3.2.0.0"),
        (refusal(403, "security_exception", "no permissions for [cluster:monitor/nodes/info]"), "3.5.0", "not known"),
        (listing("3.2.0.0"), "3.2.0", "OpenSearch 3.2.0: Seismic came with 3.3"),
    ],
    ids=["none", "one node without", "too old", "may not ask", "an old cluster"],
)
async def test_a_cluster_that_cannot_hold_them_is_refused_with_the_next_step(
    reply: Any, version: str, reason: str
) -> None:
    with pytest.raises(ChercheError, match="--weights seismic") as refused:
        await checked(reply, version)
    assert refused.value.code is Code.FAILED_PRECONDITION
    assert reason in refused.value.reason
    assert refused.value.next_step.endswith("set the index up with --weights rank_features")


async def test_elasticsearch_is_refused_without_being_asked_for_plugins() -> None:
    transport = FakeTransport(lambda _: {})
    with pytest.raises(ChercheError, match=r"Elasticsearch 9\.1\.0: it has no neural-search"):
        await seismic.check(http(transport), choose({"version": {"number": "9.1.0", "build_flavor": "default"}}))
    assert transport.sent == []


async def test_a_listing_of_another_form_is_no_defect_of_ours() -> None:
    with pytest.raises(ChercheError, match="the plugins of the cluster") as odd:
        await checked({"nodes": {"id": {"plugins": [{}]}}})
    assert odd.value.code is Code.UNAVAILABLE


def stage(query: Query) -> Any:
    return search_body(query, query.clauses)["query"]["bool"]


def parameters(query: Query) -> dict[str, Any]:
    """Of the `neural_sparse` query."""
    found = stage(query)
    [wrapped] = [one for part in ("must", "should") for one in found.get(part, ()) if "function_score" in one]
    held: dict[str, Any] = wrapped["function_score"]["query"]["neural_sparse"]["cherche_weights"]["method_parameters"]
    return held


def test_the_boost_is_around_the_query_whose_weights_have_a_limit() -> None:
    _, sparse = stage(QUERY)["should"]
    assert sparse["function_score"]["boost"] == 0.5
    tokens = sparse["function_score"]["query"]["neural_sparse"]["cherche_weights"]["query_tokens"]
    assert tokens == {"7592": 2.0, "1012": 0.25}
    assert stage(replace(QUERY, clauses=()))["must"][0]["bool"]["_name"] == "cherche_lexical"
    assert stage(replace(QUERY, mode="sparse", clauses=())) == {"must": [{"match_none": {}}]}


def test_as_many_hits_are_found_as_are_shown_and_no_fewer_than_the_candidates() -> None:
    assert parameters(QUERY) == {"k": 1000, "top_n": 10, "heap_factor": 1.0}
    assert parameters(replace(QUERY, offset=1990, size=20))["k"] == 2010
    assert parameters(replace(QUERY, candidates=50, size=100))["k"] == 100


def test_conditions_bind_before_the_best_are_chosen() -> None:
    hidden = {"nested": {"path": "p", "query": {"term": {"p.a": {"value": 1, "_name": "x"}}}, "inner_hits": {}}}
    users = {"bool": {"must": [{"match": {"title": "a"}}], "filter": [hidden], "must_not": {"term": {"b": 2}}}}
    plain = {"nested": {"path": "p", "query": {"term": {"p.a": {"value": 1}}}}}
    query = replace(QUERY, body={"query": users, "filter": {"term": {"c": 3}}})
    assert parameters(query)["filter"] == {
        "bool": {"filter": [{"term": {"c": 3}}, plain], "must_not": [{"term": {"b": 2}}]}
    }
    assert stage(query)["filter"] == [{"term": {"c": 3}}, hidden]
    decides = {"bool": {**users["bool"], "filter": [plain]}}
    for mode in ("hybrid", "sparse"):
        lexical = parameters(replace(query, mode=mode, match_set="lexical"))["filter"]["bool"]  # type: ignore[arg-type]
        assert lexical["must"] == [decides]


def test_the_kind_of_a_field_is_told_from_elasticsearchs_of_the_same_name() -> None:
    assert seismic.kind({}) == "object"
    assert [seismic.is_sparse({"index.sparse": value}) for value in ("true", True, "false")] == [True, True, False]
    assert not seismic.is_sparse({})


def facts(properties: Any, **settings: Any) -> mapping.IndexFacts:
    [found] = mapping.facts({"a": {"mappings": {"properties": properties}}}, {"a": {"settings": settings}})
    return found


def test_an_index_is_created_with_the_setting_and_the_field() -> None:
    body: Any = mapping.creation("a", META, lean_recovery=False).body
    assert body["settings"] == {"index": {"sparse": True}}
    assert body["mappings"]["properties"]["cherche_weights"] == seismic.FIELD
    assert body["mappings"]["_meta"]["cherche"]["weights"] == "seismic"
    [request] = mapping.additions([facts({}, **{"index.sparse": "true"})], META)
    assert isinstance(request.body, dict)
    assert request.body["properties"]["cherche_weights"] == seismic.FIELD


@pytest.mark.parametrize(
    ("properties", "settings", "meta", "reason"),
    [
        (RANKED, {}, META, "holds weights as rank_features, not as seismic"),
        ({}, {}, META, "created without index.sparse"),
        ({"cherche_weights": seismic.FIELD}, {}, replace(META, weights="rank_features"), "holds weights as seismic"),
    ],
)
def test_an_index_whose_field_cannot_change_is_refused(
    properties: Any, settings: Any, meta: IndexMeta, reason: str
) -> None:
    with pytest.raises(ChercheError, match=reason) as refused:
        fields.check_weights([facts(properties, **settings)], meta, sparse_vector=False)
    assert refused.value.next_step == f"run: cherche upgrade a --weights {meta.weights} --replace"


def test_an_index_that_can_hold_them_is_taken() -> None:
    theirs = {"type": "sparse_vector", "method": {"name": "seismic", "parameters": {"n_postings": 300}}}
    for properties in ({}, {"cherche_weights": theirs}):
        fields.check_weights([facts(properties, **{"index.sparse": "true"})], META, sparse_vector=False)
    found = facts({"cherche_weights": theirs})
    assert fields.mistyped(found, sparse_vector=choose(root("3.5.0")).may_hold_vectors) == ""
    assert fields.mistyped(found, sparse_vector=choose(root("3.2.0")).may_hold_vectors) == "cherche_weights"
    vectors = {"cherche_weights": {"type": "sparse_vector"}}  # Elasticsearch's
    fields.check_weights([facts(vectors)], replace(META, weights="rank_features"), sparse_vector=True)


def test_a_successor_gets_the_setting_and_the_field_or_loses_both() -> None:
    there = creation({"properties": RANKED}, {"index.codec": "best"}, META, recovery_source=False)
    assert there["settings"] == {"index.codec": "best", "index.sparse": "true"}
    assert there["mappings"]["properties"]["cherche_weights"] == seismic.FIELD
    back = creation(there["mappings"], there["settings"], replace(META, weights="rank_features"), recovery_source=False)
    assert back["settings"] == {"index.codec": "best"}
    assert back["mappings"]["properties"]["cherche_weights"] == {"type": "rank_features"}
    theirs = {"type": "sparse_vector", "method": {"name": "seismic", "parameters": {"n_postings": 300}}}
    kept = creation({"properties": {"cherche_weights": theirs}}, {}, META, recovery_source=False)
    assert kept["mappings"]["properties"]["cherche_weights"] == theirs


def test_a_template_is_refused() -> None:
    with pytest.raises(ChercheError, match="not for patterns and data streams") as refused:
        Template("logs", {}, {}).setup(META, recovery_source=False)
    assert refused.value.next_step == "set it up with --weights rank_features"


async def test_setup_creates_the_index_where_the_plugin_is_and_says_what_it_means() -> None:
    plugins = listing("3.5.0.0")

    def answer(request: Sent) -> Any:
        if request.path == "/_nodes/plugins":
            return plugins
        if request.method == "PUT":
            return {"acknowledged": True}
        if request.path == "/_cluster/settings":
            return {}
        if request.path.startswith("/_index_template/_simulate_index"):
            return {"template": {}}
        if request.path == "/_index_template":
            return {"index_templates": []}
        return refusal(404, "index_not_found_exception", "no such index [a]")

    transport = FakeTransport(answer)
    plan = await engine(transport).setup("a", META)
    assert seismic.NOTE in plan.warnings
    [put] = [request for request in transport.sent if request.method == "PUT"]
    assert put.body["settings"] == {"index": {"sparse": True}}
    plugins = listing(None)
    with pytest.raises(ChercheError, match="has none"):
        await engine(transport).plan("a", META)
    assert seismic.NOTE not in (await engine(transport).plan("a", replace(META, weights="rank_features"))).warnings
    assert sum(request.method == "PUT" for request in transport.sent) == 1
