"""The files in opensearch/pipelines are accepted by the cluster and work as an index's defaults."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar.values.index import IndexOptions
from tests.integration.plugin.cluster import Cluster
from tests.integration.plugin.conftest import ROOT
from tests.integration.plugin.requests import bulk, failed, ids, search

pytestmark = [pytest.mark.java, pytest.mark.timeout(900)]  # the first builds the plugin and starts the node

PIPELINES = ROOT / "opensearch" / "pipelines"
SOURCES = {
    "a": {"title": "car", "text": "red"},
    "b": {"title": "film", "text": "a red film"},
    "c": {"text": "automobile"},
}


def body(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((PIPELINES / name).read_text())
    return read


async def test_every_file_is_a_pipeline(cluster: Cluster) -> None:
    for path in PIPELINES.glob("*.json"):
        kind = "ingest" if path.name == "ingest.json" else "search"
        await cluster.send("PUT", f"/_{kind}/pipeline/{cluster.index}-{path.stem}", body(path.name))


async def test_they_work_as_defaults_of_an_index(cluster: Cluster) -> None:
    await cluster.send("PUT", f"/_ingest/pipeline/{cluster.index}-in", body("ingest.json"))
    await cluster.send("PUT", f"/_search/pipeline/{cluster.index}-out", body("search.json"))
    defaults = {
        "index.default_pipeline": f"{cluster.index}-in",
        "index.search.default_pipeline": f"{cluster.index}-out",
    }
    await cluster.send("PUT", f"/{cluster.index}/_settings", defaults)
    assert failed(await bulk(cluster, SOURCES, f"{cluster.index}-in")) == {}
    reply = await search(cluster, {"query": {"match": {"title": "car"}}})
    assert reply["ext"]["cherche"]["rerank_status"] == "APPLIED"
    assert ids(reply)[0] == "a"
    assert "c" in ids(reply), "automobile is found by the expansion of car"


async def test_hits_of_an_index_that_existed_before_setup_can_be_kept_free_of_our_fields(cluster: Cluster) -> None:
    before = f"{cluster.index}-before"
    properties = {"title": {"type": "text"}, "text": {"type": "text"}, "group": {"type": "keyword"}}
    await cluster.send("PUT", f"/{before}", {"mappings": {"properties": properties}})
    await cluster.server.client.setup_index(before, IndexOptions())
    await cluster.send("PUT", f"/_ingest/pipeline/{before}-in", body("ingest.json"))
    await cluster.send("PUT", f"/_search/pipeline/{before}-hide", body("hide.json"))
    grouped = {id: {**source, "group": "one"} for id, source in SOURCES.items()}
    assert failed(await bulk(cluster, grouped, f"{before}-in", before)) == {}
    page: dict[str, Any] = {"query": {"match_all": {}}, "sort": ["group"]}
    assert "cherche_codes" in str((await cluster.send("POST", f"/{before}/_search", page))["hits"])
    await cluster.send("PUT", f"/{before}/_settings", {"index.search.default_pipeline": f"{before}-hide"})
    shown = await cluster.send("POST", f"/{before}/_search", page)
    assert {hit["_id"]: hit["_source"] for hit in shown["hits"]["hits"]} == grouped
    inner = {"field": "group", "inner_hits": {"name": "all", "size": 9}}
    [group] = (await cluster.send("POST", f"/{before}/_search", {**page, "collapse": inner}))["hits"]["hits"]
    assert {hit["_id"]: hit["_source"] for hit in group["inner_hits"]["all"]["hits"]["hits"]} == grouped
    best = {"size": 0, "aggs": {"by": {"terms": {"field": "group"}, "aggs": {"best": {"top_hits": {"size": 9}}}}}}
    counted = (await cluster.send("POST", f"/{before}/_search", {**page, **best}))["aggregations"]
    [bucket] = counted["by"]["buckets"]
    assert {hit["_id"]: hit["_source"] for hit in bucket["best"]["hits"]["hits"]} == grouped
    lean = {**page, "_source": False, "fields": ["*"]}
    hits = (await cluster.send("POST", f"/{before}/_search", lean))["hits"]["hits"]
    assert {hit["_id"]: set(hit["fields"]) for hit in hits} == {id: set(source) for id, source in grouped.items()}
    # What is read to be written again is read whole.
    await cluster.send("POST", f"/{before}/_update_by_query", None, refresh="true")
    assert (await cluster.server.client.get_index(before)).stats.encoded == len(SOURCES)


async def test_an_index_of_an_earlier_release_is_written_in_its_form_until_it_is_set_up_again(cluster: Cluster) -> None:
    old = f"{cluster.index}-old"
    mappings = (await cluster.send("GET", f"/{cluster.index}/_mapping"))[cluster.index]["mappings"]
    kept = {
        key: spec for key, spec in mappings["properties"].items() if key not in ("cherche_digest", "cherche_status")
    }
    mappings["properties"] = {**kept, "cherche_hash": {"type": "keyword"}, "cherche_state": {"type": "keyword"}}
    await cluster.send("PUT", f"/{old}", {"mappings": mappings})
    await cluster.send("PUT", f"/_ingest/pipeline/{old}-in", body("ingest.json"))
    assert failed(await bulk(cluster, SOURCES, f"{old}-in", old)) == {}
    assert (await cluster.send("GET", f"/{old}/_source/a"))["cherche_state"] == "ok"
    assert (await cluster.server.client.get_index(old)).stats.encoded == len(SOURCES)
    await cluster.server.client.setup_index(old, IndexOptions())
    assert failed(await bulk(cluster, {"a": SOURCES["a"]}, f"{old}-in", old)) == {}
    moved = await cluster.send("GET", f"/{old}/_source/a")
    assert (moved["cherche_status"], "cherche_state" in moved) == ([{"ok": 1}], False)
    report = await cluster.server.client.get_index(old)
    assert report.stats.encoded == len(SOURCES)
    assert [finding for finding in report.findings if finding.startswith("2 documents hold our hash and state")]
