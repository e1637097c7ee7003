from __future__ import annotations

import pytest

from tests.unit.sidecar.adapters.memory import MemoryClient

pytest.importorskip("haystack", reason="Haystack is not installed: make interop runs these tests")

from haystack import Document, Pipeline

from sidecar.adapters.haystack import ChercheRanker, ChercheRetriever


async def test_a_retriever_gives_documents(client: MemoryClient) -> None:
    retriever = ChercheRetriever("articles", top_k=3, options={"rerank": True})
    retriever._client = client
    first, *rest = retriever.run("red car")["documents"]
    assert (first.id, first.content, first.meta, first.score) == ("0", "Cars\na red car", {"year": 1999}, 9.0)
    assert len(rest) == 2
    assert (await retriever.run_async("red car", top_k=1))["documents"][0] == first
    assert client.asked == [
        {"index": "articles", "text": "red car", "size": 3, "rerank": True},
        {"index": "articles", "text": "red car", "size": 1, "rerank": True},
    ]


async def test_a_ranker_orders_documents(client: MemoryClient) -> None:
    documents = [Document(content=""), Document(content="a car"), Document(content="a red car", meta={"b": 2})]
    ranker = ChercheRanker(model="m")
    ranker._client = client
    best, second, last = ranker.run("red car", documents)["documents"]
    assert (best.content, best.score, best.meta) == ("a red car", 2.0, {"b": 2})
    assert (second.content, second.score) == ("a car", 1.0)
    assert last.score is None
    assert "is empty" in last.meta["rerank_error"]
    assert documents[0].meta == {}  # theirs stay as they are
    assert [one.score for one in (await ranker.run_async("red car", documents, top_k=1))["documents"]] == [2.0]


def test_a_pipeline_is_saved_without_secrets_and_loaded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHERCHE_TOKEN", "secret-token")
    pipeline = Pipeline()
    pipeline.add_component(
        "retriever", ChercheRetriever("articles", "sidecar:50551", top_k=50, options={"rerank": True})
    )
    pipeline.add_component("ranker", ChercheRanker("sidecar:50551", top_k=5, model="m"))
    pipeline.connect("retriever.documents", "ranker.documents")
    saved = pipeline.dumps()
    assert "secret-token" not in saved
    again = Pipeline.loads(saved, allowed_modules=["sidecar.adapters.haystack"])
    assert again.dumps() == saved
    loaded = again.get_component("retriever")
    assert (loaded.index, loaded.top_k, loaded.options) == ("articles", 50, {"rerank": True})
    assert loaded.token.resolve_value() == "secret-token"
