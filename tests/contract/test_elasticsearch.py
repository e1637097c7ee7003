"""Every request to Elasticsearch 7, 8 and 9 is one that its published specification knows."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from opensearchpy import NotFoundError

from cherche_models import codec
from cherche_models.types import TermWeights
from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.engines.opensearch.dialect import choose
from sidecar.engines.opensearch.http import Http
from sidecar.engines.opensearch.mapping import PROPERTIES
from sidecar.errors import ChercheError, Code
from sidecar.values.documents import StoredDocument
from sidecar.values.first_stage import Query, SparseClause
from sidecar.values.index import Fingerprint, Identity, IndexMeta, TextField
from sidecar.values.maintenance import Placement

RECORDED = json.loads(Path(__file__).with_name("elasticsearch.json").read_text(encoding="utf-8"))
VERSIONS = tuple(RECORDED["roots"])
META = IndexMeta("tiny", Fingerprint("a" * 64, "b" * 64), (TextField("title"),), 64)
TERMS = codec.pack_terms(TermWeights.from_pairs([(7, 1.5)]))
CLAUSES = (SparseClause(7, "sun", 0.5), SparseClause(9, "%2E", 2.0))
HIT = {"_index": "books", "_id": "1", "_score": 3.0, "_seq_no": 0, "_primary_term": 1, "_source": {"title": "sun"}}


@dataclass
class Specified:
    """An Elasticsearch that knows its specification and nothing else."""

    version: str
    weights: str = "rank_features"
    absent: set[str] = field(default_factory=set)
    sent: list[tuple[str, Any]] = field(default_factory=list)
    queries: list[Mapping[str, str]] = field(default_factory=list)

    async def perform_request(
        self,
        method: str,
        url: str,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        timeout: float | None = None,
        ignore: Any = (),
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        if url == "/":
            return RECORDED["roots"][self.version]
        endpoint = self._endpoint(method, url)
        for name in params or {}:
            since = endpoint["query"].get(name)
            assert since is not None, f"{method} {url} knows no parameter {name}"
            assert numbers(self.version) >= numbers(since), f"{name} came with {since}"
        assert headers is not None
        assert headers["authorization"] == "ApiKey k"
        lines = isinstance(body, bytes)
        assert headers["content-type"] == ("application/x-ndjson" if lines else "application/json")
        said = actions(body) if lines else [body or {}]
        for each in said:
            assert set(each) <= set(endpoint["body"]), f"{method} {url} knows no {set(each) - set(endpoint['body'])}"
        self.sent.append((endpoint["request"], said[0]))
        self.queries.append(params or {})
        return self._reply(endpoint, url, params or {}, body)

    async def close(self) -> None:
        """Nothing is open."""

    def _endpoint(self, method: str, url: str) -> Any:
        for endpoint in RECORDED["endpoints"]:
            verb, path = endpoint["request"].split(" ")
            if verb == method and re.fullmatch(path.replace("{index}", "[^/_][^/]*").replace("{name}", "[^/]+"), url):
                return endpoint
        raise AssertionError(f"the specification has no {method} {url}")

    def _reply(self, endpoint: Any, url: str, params: Mapping[str, Any], body: Any) -> Any:
        index = url.split("/")[1]
        if endpoint["request"] in ("PUT /{index}", "POST /{index}/_clone/{name}"):
            self.absent.discard(url.split("/")[-1])
        if index in self.absent:
            missing = {"type": "index_not_found_exception", "reason": f"no such index [{index}]", "index": index}
            raise NotFoundError(404, missing["type"], {"error": {"root_cause": [missing], **missing}, "status": 404})
        if url.endswith("/_mapping") and "reply" not in endpoint:
            properties = {"title": {"type": "text"}, **PROPERTIES, "cherche_weights": {"type": self.weights}}
            return {index: {"mappings": {"properties": properties, "_meta": {"cherche": META.to_json()}}}}
        if endpoint["request"] == "GET /{index}/_settings":
            return {index: endpoint["reply"]["books"]}
        if url.endswith("_bulk"):
            return written(actions(body))
        if url.endswith("_mget"):
            ids = [doc["_id"] for doc in body.get("docs", ())] or body["ids"]
            known = {doc["_id"]: doc for doc in endpoint["reply"]["docs"]}
            return {"docs": [known[id] for id in ids]}
        if not url.endswith("_search"):
            return endpoint["reply"]
        return {**searched(body, params), **({"pit_id": "a newer id"} if "pit" in body else {})}

    def bodies(self, request: str) -> list[Any]:
        """What was sent to an endpoint."""
        return [body for sent, body in self.sent if sent == request]


def actions(body: bytes) -> list[Any]:
    """The actions of a bulk; all but a deletion bring a line of their own along."""
    lines = iter(body.splitlines())
    found = []
    for line in lines:
        found.append(json.loads(line))
        if "delete" not in found[-1]:
            next(lines)
    return found


def written(said: Sequence[Mapping[str, Any]]) -> Any:
    """A reply of a bulk that did all of it."""
    status = {"index": 200, "create": 201, "update": 200, "delete": 200}
    items = [
        {name: {"_index": "books", "_id": one["_id"], "status": status[name]}}
        for each in said
        for name, one in each.items()
    ]
    return {"took": 3, "errors": False, "items": items}


def searched(body: Any, params: Mapping[str, Any]) -> Any:
    """A reply of one hit."""
    hit: dict[str, Any] = dict(HIT)
    if "include_named_queries_score" in params:
        hit["matched_queries"] = {"cherche_lexical": 2.25, "cherche_sparse": 0.75}
    elif body.get("_source") is False and "docvalue_fields" not in body:
        hit["_score"] = 0.75  # of the sparse clause alone
    else:
        hit["matched_queries"] = ["cherche_lexical", "cherche_sparse"]
    if "docvalue_fields" in body:
        hit["fields"] = {"cherche_terms": ["AA"]}
    if "sort" in body:
        hit["sort"] = [4294967298]
    filters = body.get("aggs", {}).get("counts", {}).get("filters", {}).get("filters", [])
    counts = {"counts": {"buckets": [{"doc_count": 1} for _ in filters]}}
    return {
        "took": 1,
        "timed_out": False,
        "_shards": {"total": 1, "successful": 1, "skipped": 0, "failed": 0},
        "hits": {"total": {"value": 1, "relation": "eq"}, "max_score": 3.0, "hits": [hit]},
        **({"aggregations": counts} if filters else {}),
    }


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def engine(cluster: Specified) -> OpenSearchEngine:
    return OpenSearchEngine(Http(cluster, "http://cluster:9200", Identity("ApiKey k"), 30.0))


def named(queries: Sequence[Mapping[str, str]]) -> bool:
    return any("include_named_queries_score" in params for params in queries)


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_call_keeps_to_the_specification(version: str) -> None:
    cluster = Specified(version)
    ours = engine(cluster)
    document = StoredDocument("1", {"title": "sun"}, "h", "ok", features={"sun": 1.5}, terms=TERMS)
    assert (await ours.info()).product == "Elasticsearch"
    assert (await ours.setup("books", META)).requests == ()
    assert [result.error for result in await ours.write("books", [document])] == [None]
    await ours.refresh("books")
    assert set(await ours.read("books", ["1", "2"])) == {"1"}
    assert (await ours.stats("books")).documents == 1
    assert len(await ours.sample("books", 3)) == 1
    assert await ours.document_frequencies("books", [(7, "sun")]) == ([1], 1)
    # Whatever is written, this cluster goes on finding the same hit.
    with pytest.raises(ChercheError, match="others keep writing"):
        await ours.remove("books")
    assert [found.id async for found in ours.scan("books")] == ["1"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("keep_pit", [False, True])
async def test_the_parts_of_a_score_come_with_one_request_where_they_can(version: str, keep_pit: bool) -> None:
    cluster = Specified(version)
    query = Query("sun", "hybrid", META.fields, clauses=CLAUSES, keep_pit=keep_pit, timeout=2.0, with_terms=True)
    page = await engine(cluster).search("books", query)
    [hit] = page.hits
    assert (hit.lexical, hit.sparse, hit.score) == (2.25, 0.75, 3.0)
    assert named(cluster.queries) is (numbers(version) >= (8, 8))
    searches = cluster.bodies("POST /_search" if keep_pit else "POST /{index}/_search")
    assert len(searches) == (1 if named(cluster.queries) else 2)
    assert page.pit == ("a newer id" if keep_pit else "")
    if keep_pit:
        assert searches[0]["pit"] == {"id": "46ToAwMDaWR5BXV1aWQy", "keep_alive": "5m"}


async def test_a_point_in_time_is_read_in_the_order_of_its_shards_and_closed() -> None:
    cluster = Specified("9.1.0")
    assert [found.id async for found in engine(cluster).scan("books")] == ["1"]
    [body] = cluster.bodies("POST /_search")
    assert body["sort"] == [{"_shard_doc": "asc"}]
    assert cluster.bodies("DELETE /_pit") == [{"id": "a newer id"}]


@pytest.mark.parametrize("version", ["8.19.0", "9.1.0"])
async def test_an_index_of_sparse_vectors_is_asked_without_pruning(version: str) -> None:
    cluster = Specified(version, weights="sparse_vector")
    ours = engine(cluster)
    assert (await ours.setup("books", META)).requests == ()
    await ours.search("books", Query("", "sparse", (), clauses=CLAUSES, sparse_boost=0.5))
    assert cluster.bodies("POST /{index}/_search")[-1]["query"]["bool"]["must"] == [
        {
            "sparse_vector": {
                "field": "cherche_weights",
                "query_vector": {"sun": 0.25, "%2E": 1.0},
                "prune": False,
                "_name": "cherche_sparse",
            }
        }
    ]
    await ours.document_frequencies("books", [(7, "sun")])
    filters = cluster.bodies("POST /{index}/_search")[-1]["aggs"]["counts"]["filters"]["filters"]
    assert filters == [{"sparse_vector": {"field": "cherche_weights", "query_vector": {"sun": 1.0}, "prune": False}}]


@pytest.mark.parametrize("version", ["7.17.29", "8.7.1"])
async def test_sparse_vectors_are_refused_where_no_query_reads_them(version: str) -> None:
    with pytest.raises(ChercheError, match="type sparse_vector, not rank_features") as refused:
        await engine(Specified(version, weights="sparse_vector")).setup("books", META)
    assert refused.value.code == Code.FAILED_PRECONDITION


@pytest.mark.parametrize(("version", "limit"), [("7.17.29", 4096), ("8.7.1", 1024), ("9.1.0", 1024)])
async def test_a_limit_that_is_ignored_is_not_believed(version: str, limit: int) -> None:
    assert (await engine(Specified(version)).info()).max_clauses == limit


@pytest.mark.parametrize(
    ("version", "kept", "reason"),
    [
        ("7.17.29", 4096, "the cluster's indices.query.bool.max_clause_count allows no more"),
        ("8.19.0", 1024, "Elasticsearch 8.19.0 takes 1024 clauses and does not say how many more"),
    ],
)
async def test_terms_left_out_are_told_with_what_the_version_says(version: str, kept: int, reason: str) -> None:
    clauses = tuple(SparseClause(n, f"t{n}", 1.0) for n in range(5000))
    page = await engine(Specified(version)).search("books", Query("", "sparse", (), clauses=clauses))
    assert page.clauses is not None
    assert page.warnings == (f"{5000 - page.clauses} of 5000 query terms left out, the lightest: {reason}",)
    assert kept - 32 <= page.clauses <= kept


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_backfill_keeps_to_the_specification(version: str) -> None:
    cluster = Specified(version)
    ours = engine(cluster)
    [shard] = await ours.shards("books")
    assert (shard.index, shard.uuid, shard.shard, shard.mark, shard.deletions) == ("books", "u", 0, 0, 0)
    [[read]] = [page async for page in ours.pages(shard, -1, META)]
    [search] = cluster.bodies("POST /{index}/_search")
    assert cluster.queries[-1]["preference"] == "_shards:0"
    assert search["sort"] == [{"_seq_no": "asc"}]
    document = StoredDocument("1", {}, "h", "ok", features={"sun": 1.5}, terms=TERMS, version=read.version)
    assert [result.error for result in await ours.update([document])] == [None]
    assert cluster.bodies("POST /_bulk")[-1] == {
        "update": {"_index": "books", "_id": "1", "if_seq_no": 0, "if_primary_term": 1}
    }
    load, room = await ours.load(), await ours.room("books")
    assert load is not None
    assert (load.rejected, load.queued, load.threads, load.searches) == (3, 1, 2, 5)
    assert room is not None
    assert (room.free, room.store, room.copies) == (8500 - 1500, 2000, 2)


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_upgrade_keeps_to_the_specification(version: str) -> None:
    cluster = Specified(version, absent={"new", "copy"})
    ours = engine(cluster)
    successors = await ours.successors()
    [shard] = await ours.shards("books")
    [[read]] = [page async for page in ours.pages(shard, -1, META, whole_source=True)]
    await successors.create("new", "books", META)
    assert set(cluster.bodies("PUT /{index}")[-1]) == {"settings", "mappings"}
    held = await successors.held("new", [read])
    document = StoredDocument("1", {"title": "sun"}, "h", "ok", features={"sun": 1.5}, terms=TERMS)
    for over in (None, held["1"].version):
        assert [result.error for result in await successors.place("new", [Placement(document, "", over)])] == [None]
    assert [set(body) for body in cluster.bodies("POST /{index}/_bulk")[-2:]] == [{"create"}, {"index"}]
    assert await successors.absent("new", [read]) == []
    assert [result.error for result in await successors.discard([read])] == [None]
    await successors.announce("books", "new", {}, {})
    await successors.switch("shelf", ["books"], ["new"])
    await successors.freeze("books", frozen=True)
    await successors.clone("books", "copy")
    await successors.freeze("books", frozen=False)
    await successors.replace("books", "copy")
    assert cluster.bodies("POST /_aliases") == [
        {
            "actions": [
                {"remove": {"index": "books", "alias": "shelf"}},
                {"add": {"index": "new", "alias": "shelf"}},
            ]
        },
        {
            "actions": [
                {"remove_index": {"index": "books"}},
                {"add": {"index": "copy", "alias": "books"}},
                {"add": {"index": "copy", "alias": "shelf"}},
            ]
        },
    ]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_new_index_and_a_new_data_stream_keep_to_the_specification(version: str) -> None:
    cluster = Specified(version, absent={"books", "logs"})
    ours = engine(cluster)
    await ours.setup("books", META)
    assert set(cluster.bodies("PUT /{index}")[-1]) == {"mappings"}
    await ours.setup("logs", META)
    [template] = cluster.bodies("PUT /_index_template/{name}")
    assert set(template["template"]["mappings"]["properties"]) == {"text", *PROPERTIES}
    assert len(cluster.bodies("PUT /_data_stream/{name}")) == 1


@pytest.mark.parametrize(
    ("root", "refusal"),
    [
        ({"version": {"number": "7.11.2", "build_flavor": "default"}}, "does not speak to Elasticsearch 7.11.2"),
        ({"version": {"number": "6.8.23", "build_flavor": "oss"}}, "does not speak to Elasticsearch 6.8.23"),
        ({"version": {"number": "2.3.0", "distribution": "opensearch"}}, "does not speak to OpenSearch 2.3.0"),
        ({"version": {"number": "1.0", "distribution": "quickwit"}}, "does not speak to quickwit 1.0"),
        ({"tagline": "hello"}, "does not speak to an unknown product unknown"),
    ],
)
def test_what_is_not_spoken_to_is_named_with_what_is(root: Any, refusal: str) -> None:
    with pytest.raises(ChercheError, match=refusal) as refused:
        choose(root)
    assert refused.value.code == Code.FAILED_PRECONDITION
    assert refused.value.next_step == "use OpenSearch 2.4 or Elasticsearch 7.12 or later"
