"""Verbs against a real cluster of each product: an index from setup to removal, and what `try` must not touch."""

from __future__ import annotations

import json
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from opensearchpy import OpenSearch

import sidecar.models.library
from sidecar.cli import cherche
from sidecar.engines.opensearch.mapping import HEAVY_FIELDS
from sidecar.testing import FakeModel

pytestmark = pytest.mark.java

DOCUMENTS = {
    "1": {"title": "Aspirin", "text": "aspirin prevents a stroke in patients with a weak heart"},
    "2": {"title": "Ducks", "text": "ducks swim on the pond while the stroke of a clock is heard"},
    "3": {"title": "Stroke", "text": "a stroke is an attack in which a part of the brain is starved"},
}


TITLES = {"opensearch": "OpenSearch", "elasticsearch": "Elasticsearch"}


@pytest.fixture(params=TITLES)
def product(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def cluster_url(product: str, request: pytest.FixtureRequest) -> str:
    """URL of a cluster of each product in turn."""
    return str(request.getfixturevalue(f"{product}_url"))


@pytest.fixture
def client(cluster_url: str) -> Iterator[OpenSearch]:
    with OpenSearch(cluster_url, timeout=60) as opened:  # a busy machine takes more than the default 10 s
        yield opened


@pytest.fixture
def index(client: OpenSearch) -> Iterator[str]:
    name = f"verbs-{uuid.uuid4().hex[:8]}"
    for key, source in DOCUMENTS.items():
        client.index(index=name, id=key, body=source, refresh=True)
    yield name
    client.indices.delete(index=name)


@pytest.fixture(autouse=True)
def fake_models(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str, *_: object, **__: object) -> FakeModel:
        return FakeModel(name=name, buckets=512 if name == "another" else 4096)

    monkeypatch.setattr(sidecar.models.library, "load_model", load)


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(cherche, arguments, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.stdout


def everything(client: OpenSearch, index: str) -> dict[str, Any]:
    """Mapping, settings and documents with their versions."""
    found = client.search(index=index, body={"version": True, "size": 100})
    hits = sorted(((hit["_id"], hit["_version"], hit["_source"]) for hit in found["hits"]["hits"]), key=itemgetter(0))
    return {**client.indices.get(index=index)[index], "hits": hits}


def test_try_compares_both_orders_and_writes_nothing(
    client: OpenSearch, index: str, cluster_url: str, tmp_path: Path
) -> None:
    queries = tmp_path / "q.txt"
    queries.write_text("stroke of a weak heart\nducks\n")
    before = everything(client, index)
    report = json.loads(run("try", cluster_url, index, "--queries", str(queries), "--top", "2", "--json"))
    assert everything(client, index) == before
    assert [one["query"] for one in report["queries"]] == ["stroke of a weak heart", "ducks"]
    assert report["rerank_status"] == {"APPLIED": 2}
    first = report["queries"][0]
    assert len(first["bm25"]) == len(first["reranked"]) == 2
    assert first["overlap"] == len(set(first["bm25"]) & {hit["id"] for hit in first["reranked"]})
    printed = run("try", cluster_url, index, "--queries", str(queries))
    assert "ducks — 1 in both" in printed
    assert "2 queries:" in printed


def test_curl_asks_the_engine_for_the_same_hits(index: str, cluster_url: str) -> None:
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    search = ["search", index, "weak heart", "--url", cluster_url, "--mode", "bm25"]
    hits = json.loads(run(*search, "--json"))["hits"]
    printed = run(*search, "--curl")
    assert "uthorization" not in printed
    answer = subprocess.run(["bash", "-c", f"{printed.strip()} -s"], capture_output=True, text=True, check=True)
    assert [hit["_id"] for hit in json.loads(answer.stdout)["hits"]["hits"]] == [hit["id"] for hit in hits]


def lines(printed: str) -> list[Any]:
    return [json.loads(line) for line in printed.splitlines()]


def test_an_index_from_setup_to_removal(
    client: OpenSearch, index: str, product: str, cluster_url: str, tmp_path: Path
) -> None:
    cluster = ["--engine", product, "--url", cluster_url]
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"_id": key, **source}) + "\n" for key, source in DOCUMENTS.items()))
    assert json.loads(run("setup", index, *cluster, "--json"))["documents"] == 3
    assert json.loads(run("feed", index, str(corpus), *cluster, "--json"))["encoded"] == 3
    page = json.loads(run("search", index, "weak heart", "--rerank", *cluster, "--json"))
    assert page["hits"][0]["id"] == "1"
    assert page["rerank"]["status"] == "APPLIED"
    assert json.loads(run("feed", index, str(corpus), *cluster, "--json"))["unchanged"] == 3
    dumped = sorted(lines(run("dump", index, *cluster)), key=itemgetter("id"))
    assert [(found["id"], found["source"], found["state"]) for found in dumped] == [
        (key, source, "ok") for key, source in DOCUMENTS.items()
    ]
    assert all(found["terms"] and found["codes"] for found in dumped)
    checks = json.loads(run("doctor", index, *cluster, "--json"))["checks"]
    found = [(check["what"], check["detail"]) for check in checks]
    assert ("engine", f"{TITLES[product]} {client.info()['version']['number']}") in found
    assert (f"index {index}", "3 documents, 3 encoded, 0 pending") in found
    run("remove", index, "--yes", *cluster)
    assert [hit[2] for hit in everything(client, index)["hits"]] == list(DOCUMENTS.values())


def test_documents_that_were_there_are_encoded_and_then_by_another_model(
    client: OpenSearch, index: str, product: str, cluster_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = ["--engine", product, "--url", cluster_url]
    name = f"{index}-alias"
    client.indices.put_alias(index=index, name=name)
    run("setup", name, *cluster)
    monkeypatch.chdir(tmp_path)  # what was not done would be written there
    assert json.loads(run("backfill", name, "--search-slowdown", "0", *cluster, "--json"))["encoded"] == 3
    run("upgrade", name, "--model", "another", "--shadow", f"{index}-new", "--search-slowdown", "0", *cluster)
    try:
        assert list(client.indices.get_alias(name=name)) == [f"{index}-new"]
        page = json.loads(run("search", name, "weak heart", "--mode", "sparse", *cluster, "--json"))
        assert page["hits"][0]["id"] == "1"
        run("upgrade", name, "--rollback", *cluster)
        assert list(client.indices.get_alias(name=name)) == [index]
    finally:
        client.indices.delete(index=f"{index}-new")


@pytest.mark.parametrize("product", ["opensearch"], indirect=True)  # Elasticsearch lets nobody exclude it
def test_doctor_warns_of_an_index_whose_copies_lose_weights(client: OpenSearch, cluster_url: str) -> None:
    source = {"excludes": HEAVY_FIELDS, "recovery_source_excludes": HEAVY_FIELDS}
    name = f"losing-{uuid.uuid4().hex[:8]}"
    client.indices.create(index=name, body={"mappings": {"_source": source}})
    cluster = ["--engine", "opensearch", "--url", cluster_url]
    try:
        run("setup", name, *cluster)
        report = json.loads(run("doctor", name, *cluster, "--json", code=1))
    finally:
        client.indices.delete(index=name)
    [found] = [check for check in report["checks"] if not check["is_ok"]]
    assert "recovery source" in found["detail"]
    assert found["next_step"].startswith("set up a new index")


def test_a_cluster_that_is_down_is_unavailable(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"_id": "1", "text": "t"}\n')
    run("feed", "articles", str(corpus), "--url", "http://127.0.0.1:1", code=3)
    run("search", "articles", "text", "--url", "http://127.0.0.1:1", code=3)
