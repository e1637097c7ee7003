"""Verbs against a real OpenSearch: what `try` must not touch, and what `--curl` prints."""

from __future__ import annotations

import json
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from opensearchpy import OpenSearch

import sidecar.models
from sidecar.cli import cherche
from sidecar.testing import FakeModel

pytestmark = pytest.mark.java

DOCUMENTS = {
    "1": {"title": "Aspirin", "text": "aspirin prevents a stroke in patients with a weak heart"},
    "2": {"title": "Ducks", "text": "ducks swim on the pond while the stroke of a clock is heard"},
    "3": {"title": "Stroke", "text": "a stroke is an attack in which a part of the brain is starved"},
}


@pytest.fixture
def client(opensearch_url: str) -> Iterator[OpenSearch]:
    with OpenSearch(opensearch_url, timeout=60) as opened:  # a busy machine takes more than the default 10 s
        yield opened


@pytest.fixture
def index(client: OpenSearch) -> Iterator[str]:
    name = f"verbs-{uuid.uuid4().hex[:8]}"
    for key, source in DOCUMENTS.items():
        client.index(index=name, id=key, body=source, refresh=True)
    yield name
    client.indices.delete(index=name)


@pytest.fixture(autouse=True)
def fake_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sidecar.models, "load_model", lambda *_, **__: FakeModel(name="cherche-tiny"))


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(cherche, arguments, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.stdout


def everything(client: OpenSearch, index: str) -> dict[str, Any]:
    """Mapping, settings and documents with their versions."""
    found = client.search(index=index, body={"version": True, "size": 100, "sort": ["_id"]})
    hits = [(hit["_id"], hit["_version"], hit["_source"]) for hit in found["hits"]["hits"]]
    return {**client.indices.get(index=index)[index], "hits": hits}


def test_try_compares_both_orders_and_writes_nothing(
    client: OpenSearch, index: str, opensearch_url: str, tmp_path: Path
) -> None:
    queries = tmp_path / "q.txt"
    queries.write_text("stroke of a weak heart\nducks\n")
    before = everything(client, index)
    report = json.loads(run("try", opensearch_url, index, "--queries", str(queries), "--top", "2", "--json"))
    assert everything(client, index) == before
    assert [one["query"] for one in report["queries"]] == ["stroke of a weak heart", "ducks"]
    assert report["rerank_status"] == {"APPLIED": 2}
    first = report["queries"][0]
    assert len(first["bm25"]) == len(first["reranked"]) == 2
    assert first["overlap"] == len(set(first["bm25"]) & {hit["id"] for hit in first["reranked"]})
    printed = run("try", opensearch_url, index, "--queries", str(queries))
    assert "ducks — 1 in both" in printed
    assert "2 queries:" in printed


def test_curl_asks_the_engine_for_the_same_hits(index: str, opensearch_url: str) -> None:
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    search = ["search", index, "weak heart", "--engine", "opensearch", "--url", opensearch_url, "--mode", "bm25"]
    hits = json.loads(run(*search, "--json"))["hits"]
    printed = run(*search, "--curl")
    assert "uthorization" not in printed
    answer = subprocess.run(["bash", "-c", f"{printed.strip()} -s"], capture_output=True, text=True, check=True)
    assert [hit["_id"] for hit in json.loads(answer.stdout)["hits"]["hits"]] == [hit["id"] for hit in hits]


def test_setup_feed_search_remove(client: OpenSearch, index: str, opensearch_url: str, tmp_path: Path) -> None:
    cluster = ["--engine", "opensearch", "--url", opensearch_url]
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"_id": key, **source}) + "\n" for key, source in DOCUMENTS.items()))
    assert json.loads(run("setup", index, *cluster, "--json"))["documents"] == 3
    assert json.loads(run("feed", index, str(corpus), *cluster, "--json"))["encoded"] == 3
    page = json.loads(run("search", index, "weak heart", "--rerank", *cluster, "--json"))
    assert page["hits"][0]["id"] == "1"
    assert page["rerank"]["status"] == "APPLIED"
    assert json.loads(run("feed", index, str(corpus), *cluster, "--json"))["unchanged"] == 3
    run("remove", index, "--yes", *cluster)
    sources = [hit["_source"] for hit in client.search(index=index, body={"sort": ["_id"]})["hits"]["hits"]]
    assert sources == list(DOCUMENTS.values())


def test_doctor_warns_of_an_index_whose_copies_lose_weights(client: OpenSearch, opensearch_url: str) -> None:
    source = {"excludes": ["cherche_*"], "recovery_source_excludes": ["cherche_*"]}
    name = f"losing-{uuid.uuid4().hex[:8]}"
    client.indices.create(index=name, body={"mappings": {"_source": source}})
    cluster = ["--engine", "opensearch", "--url", opensearch_url]
    try:
        run("setup", name, *cluster)
        told = json.loads(run("doctor", name, *cluster, "--json", code=1))
    finally:
        client.indices.delete(index=name)
    [found] = [check for check in told["checks"] if not check["is_ok"]]
    assert "recovery source" in found["detail"]
    assert found["next_step"].startswith("set up a new index")


def test_a_cluster_that_is_down_is_unavailable(opensearch_url: str, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"_id": "1", "text": "t"}\n')
    run("feed", "articles", str(corpus), "--url", "http://127.0.0.1:1", code=3)
    run("search", "articles", "text", "--url", "http://127.0.0.1:1", code=3)
