"""``cherche upgrade`` and ``cherche backfill --shadow`` from end to end, on a real cluster of each product."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from opensearchpy import OpenSearch

import sidecar.models.library
from sidecar.cli import cherche
from sidecar.testing import FakeModel

pytestmark = pytest.mark.java

TOPICS = ("heart", "ducks", "stars", "bread")
Verb = Callable[..., Any]


@pytest.fixture(autouse=True)
def fake_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that knows synonyms, one that knows none, and one that takes all words for the same few."""

    def load(name: str, *_: object, **__: object) -> FakeModel:
        buckets = {"poor": 2, "good": 8192}.get(name, 4096)
        synonyms = {"cardiac": "heart", "waterfowl": "ducks", "celestial": "stars", "loaf": "bread"}
        return FakeModel(name=name, buckets=buckets, synonyms=synonyms if name == "good" else {})

    monkeypatch.setattr(sidecar.models.library, "load_model", load)


@pytest.fixture(params=["opensearch", "elasticsearch"])
def client(request: pytest.FixtureRequest) -> Iterator[OpenSearch]:
    with OpenSearch(request.getfixturevalue(f"{request.param}_url"), timeout=60) as opened:
        yield opened


@pytest.fixture
def index(client: OpenSearch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An alias of an index with documents of four topics."""
    monkeypatch.chdir(tmp_path)
    alias = f"verbs-{uuid.uuid4().hex[:8]}"
    settings = {"number_of_shards": 1, "number_of_replicas": 0}
    client.indices.create(index=f"{alias}-a", body={"settings": settings, "aliases": {alias: {}}})
    for number in range(40):
        text = f"{TOPICS[number % 4]} and other words {number}"
        client.index(index=alias, id=str(number), body={"text": text})
    client.indices.refresh(index=alias)
    yield alias
    client.indices.delete(index=f"{alias}-*")


@pytest.fixture
def verb(client: OpenSearch, index: str) -> Verb:
    url = client.transport.hosts[0]

    def run(name: str, *arguments: str, code: int = 0) -> Any:
        flags = ["--engine", "opensearch", "--url", f"http://{url['host']}:{url['port']}", "--json"]
        result = CliRunner().invoke(cherche, [name, index, *arguments, *flags], catch_exceptions=False)
        assert result.exit_code == code, result.output
        return json.loads(result.stdout) if code == 0 else result.output

    return run


@pytest.fixture
def judged(tmp_path: Path) -> list[str]:
    """Queries by other words than the documents', and what they should find."""
    queries, qrels = tmp_path / "queries.jsonl", tmp_path / "qrels.tsv"
    asked = [f"{word} {n}" for n in range(5) for word in ("cardiac", "waterfowl", "celestial", "loaf")]
    queries.write_text("".join(json.dumps({"_id": f"q{i}", "text": text}) + "\n" for i, text in enumerate(asked)))
    found = [f"q{i}\t{n}\t1\n" for i in range(len(asked)) for n in range(40) if n % 4 == i % 4]
    qrels.write_text("query-id\tcorpus-id\tscore\n" + "".join(found))
    return ["--queries", str(queries), "--qrels", str(qrels), "--mode", "sparse"]


def behind(client: OpenSearch, index: str) -> list[str]:
    return sorted(client.indices.get_alias(name=index))


def test_a_better_model_is_switched_to_a_worse_one_is_not_and_the_way_back_is_one_command(
    client: OpenSearch, index: str, verb: Verb, judged: list[str]
) -> None:
    verb("setup", "--model", "plain", "--fields", "text")
    assert verb("backfill", "--search-slowdown", "0")["encoded"] == 40
    better = verb("upgrade", "--model", "good", "--search-slowdown", "0", *judged)
    assert better["state"] == "switched"
    paired = better["comparison"]["ndcg@10"]
    assert paired["b"] > paired["a"] + 0.5
    assert behind(client, index) == better["serving"] != better["kept"] == [f"{index}-a"]
    hits = verb("search", "cardiac", "--mode", "sparse")["hits"]
    assert {int(hit["id"]) % 4 for hit in hits} == {0}

    refused = verb("upgrade", "--model", "poor", "--search-slowdown", "0", *judged, code=1)
    assert "is worse" in refused
    assert "--force" in refused
    assert behind(client, index) == better["serving"]

    client.index(index=index, id="new", body={"text": "stars of late"}, refresh=True)
    back = verb("upgrade", "--rollback")
    assert (back["state"], back["serving"]) == ("rolled back", [f"{index}-a"])
    assert behind(client, index) == [f"{index}-a"]
    assert client.get(index=index, id="new")["_source"]["text"] == "stars of late"
    assert not verb("search", "cardiac", "--mode", "sparse")["hits"]


def test_a_backfill_into_a_shadow_takes_weights_out_of_the_source(client: OpenSearch, index: str, verb: Verb) -> None:
    verb("setup", "--model", "plain", "--fields", "text")
    done = verb("backfill", "--shadow", "--search-slowdown", "0")
    assert (done["state"], done["copied"]["encoded"], done["kept"]) == ("switched", 40, [f"{index}-a"])
    assert "cherche_weights" not in client.get(index=index, id="1")["_source"]
    assert len(verb("search", "ducks", "--mode", "sparse", "--size", "20")["hits"]) == 10


def test_an_index_without_alias_is_told_the_next_step(client: OpenSearch, index: str, verb: Verb) -> None:
    verb("setup", "--model", "plain", "--fields", "text")
    client.indices.delete_alias(index=f"{index}-a", name=index)
    url = client.transport.hosts[0]
    flags = ["--url", f"http://{url['host']}:{url['port']}", "--search-slowdown", "0", "--json"]
    command = ["upgrade", f"{index}-a", "--model", "good", *flags]
    waiting = CliRunner().invoke(cherche, command)
    assert waiting.exit_code == 1
    assert f"cherche upgrade {index}-a --replace" in waiting.output
    done = json.loads(CliRunner().invoke(cherche, [*command, "--replace"]).stdout)
    assert done["state"] == "switched"
    assert behind(client, f"{index}-a") == done["serving"]
    assert client.count(index=f"{index}-a")["count"] == 40
