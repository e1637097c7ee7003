"""The pipelines that people PUT are accepted and work as they say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.plugin.bulk import bulk, failed, ids, search
from tests.integration.plugin.conftest import ROOT, Cluster

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


async def test_they_work_as_an_indexs_defaults(cluster: Cluster) -> None:
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


def test_the_readme_names_every_setting_and_option() -> None:
    readme = (ROOT / "opensearch" / "plugin" / "README.md").read_text()
    java = ROOT / "opensearch" / "plugin" / "src" / "main" / "java" / "org" / "cherche" / "opensearch"
    for line in (java / "Options.java").read_text().splitlines():
        if 'take(values, "' in line:
            option = line.split('"')[1]
            assert f"`{option}`" in readme, option
    for name in settings_of((java / "ChercheSettings.java").read_text()):
        assert f"`{name}`" in readme, name


def settings_of(source: str) -> list[str]:
    after = [part.split('"')[1] for part in source.split("PREFIX + ")[1:] if part.startswith('"')]
    times = [part.split('"')[1] for part in source.split("= time(")[1:]]
    return [*after, *times]
