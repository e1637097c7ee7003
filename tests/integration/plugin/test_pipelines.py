"""The files in opensearch/pipelines are accepted by the cluster and work as an index's defaults."""

from __future__ import annotations

import json
from typing import Any

import pytest

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
