"""The public client, on a real sidecar with a fake model."""

from __future__ import annotations

import typing
from collections.abc import AsyncIterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from sidecar.client import AsyncClient, ChercheError, Code, FeedReport, IndexOptions, SearchOptions
from sidecar.config import Settings
from sidecar.engines.embedded import EmbeddedEngine
from sidecar.testing import FakeModel, running_server
from sidecar.values.encoded import Text
from sidecar.values.search import SearchRequest

DOCUMENTS: list[dict[str, Any]] = [
    {"_id": "1", "title": "Aspirin", "text": "aspirin prevents stroke"},
    {"id": 2, "title": "Ducks", "text": "ducks swim on the pond"},
    {"_id": "3", "title": "Empty"},
]


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[AsyncClient]:
    engine = EmbeddedEngine(tmp_path / "index.sqlite")
    try:
        async with running_server(engine, [FakeModel()]) as server, AsyncClient(server.address) as client:
            yield client
    finally:
        await engine.aclose()


def test_its_options_are_those_of_a_search() -> None:
    of_search = typing.get_type_hints(SearchRequest)
    assert typing.get_type_hints(SearchOptions) == {
        one.name: of_search[one.name] for one in fields(SearchRequest) if one.name not in ("index", "text")
    }


async def test_an_index_is_set_up_fed_searched_and_explained(client: AsyncClient) -> None:
    assert await client.is_ready()
    assert [model.name for model in await client.models()] == ["fake"]
    assert (await client.setup("articles", IndexOptions(rerank_window=7))).applied
    report = await client.feed("articles", DOCUMENTS)
    assert report == FeedReport(3, {"encoded": 3})
    assert await client.feed("articles", DOCUMENTS) == FeedReport(3, {"unchanged": 3})
    found = await client.search("articles", "aspirin", rerank=True, size=1)
    assert [hit.id for hit in found.hits] == ["1"]
    assert found.rerank.status == "APPLIED"
    _, (explanation,) = await client.explain("articles", "aspirin", ids=["1"])
    assert [term.token for term in explanation.terms]
    status = await client.index("articles")
    assert (status.stats.documents, status.stats.pending, status.served) == (3, 0, True)


async def test_pages_follow_each_other(client: AsyncClient) -> None:
    await client.setup("articles")
    await client.feed("articles", [{"_id": str(i), "text": f"duck number {i}"} for i in range(5)])
    pages = [page async for page in client.pages("articles", "duck", size=2)]
    ids = [hit.id for page in pages for hit in page.hits]
    assert sorted(ids) == ["0", "1", "2", "3", "4"]
    assert [len(page.hits) for page in pages[:3]] == [2, 2, 1]


async def test_texts_are_encoded_and_reranked(client: AsyncClient) -> None:
    encoded = await client.encode(["aspirin stroke", "ducks"], kind="document")
    assert [len(item.weights or {}) for item in encoded.items] == [2, 1]
    asked = await client.encode(["aspirin"], kind="query")
    assert asked.fingerprint is None
    ranked = await client.rerank("aspirin", ["ducks swim", "aspirin prevents stroke"])
    assert [score.index for score in ranked.scores] == [1, 0]


@pytest.mark.parametrize("texts", ["aspirin stroke", b"aspirin", Text("aspirin"), {"aspirin": 1}, {"aspirin"}, None, 5])
async def test_one_text_is_not_taken_for_several(client: AsyncClient, texts: Any) -> None:
    for call in (
        client.encode(texts),
        client.rerank("aspirin", texts),
        client.explain("articles", "aspirin", ids=texts),
    ):
        with pytest.raises(ChercheError, match=f"is of the type {type(texts).__name__} — give a list") as refused:
            await call
        assert refused.value.code is Code.INVALID_ARGUMENT


async def test_what_is_no_text_never_fails_its_neighbours(client: AsyncClient) -> None:
    mixed: list[Any] = ["ducks swim", float("nan"), "aspirin prevents stroke", None]
    encoded = await client.encode(mixed)
    assert [item.error and item.error.reason for item in encoded.items] == [
        None,
        "document 1 has the type float (nan)",
        None,
        "document 3 has the type NoneType (None)",
    ]
    ranked = await client.rerank("aspirin", mixed)
    assert [score.index for score in ranked.scores] == [2, 0]
    assert [failure.index for failure in ranked.failures] == [1, 3]
    kind: Any = "queries"
    with pytest.raises(ChercheError, match="kind is 'queries' — use one of document, query"):
        await client.encode(["aspirin"], kind=kind)


async def test_a_bad_document_never_fails_its_neighbours(client: AsyncClient) -> None:
    await client.setup("articles")

    async def mixed() -> AsyncIterator[Any]:
        for document in ({"text": "no id"}, DOCUMENTS[0], "a string", {"_id": "n", "score": float("nan")}):
            yield document

    report = await client.feed("articles", mixed())
    assert (report.documents, report.outcomes) == (4, {"encoded": 1, "failed": 3})
    reasons = [failure.error.reason for failure in report.failures if failure.error]
    assert [reason[:10] for reason in reasons] == ["document 0", "document 2", "document 3"]
    assert all(failure.error and failure.error.next_step for failure in report.failures)
    assert [hit.id for hit in (await client.search("articles", "aspirin")).hits] == ["1"]


async def test_errors_have_a_reason_and_a_next_step(client: AsyncClient) -> None:
    with pytest.raises(ChercheError) as failed:
        await client.search("nowhere", "aspirin")
    assert failed.value.code is Code.NOT_FOUND
    assert "nowhere" in failed.value.reason
    assert failed.value.next_step
    async with AsyncClient("127.0.0.1:1", timeout=0.5) as other:
        with pytest.raises(ChercheError, match="cherche serve"):
            await other.is_ready()


async def test_what_cannot_be_sent_safely_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ChercheError, match="plain text"):
        AsyncClient("sidecar:50551", token="s3cret")
    with pytest.raises(ChercheError, match="gone"):
        AsyncClient("sidecar:50551", token="s3cret", ca=tmp_path / "gone.pem")


async def test_a_client_of_the_environment(
    client: AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ChercheError, match="no sidecar is named"):
        AsyncClient.from_environment()
    engine = EmbeddedEngine(tmp_path / "other.sqlite")
    async with running_server(engine, settings=Settings.model_validate({"token": "s3cret"})) as server:
        monkeypatch.setenv("CHERCHE_SERVER", server.address)
        async with AsyncClient.from_environment() as stranger:
            with pytest.raises(ChercheError) as refused:
                await stranger.models()
        assert refused.value.code is Code.UNAUTHENTICATED
        monkeypatch.setenv("CHERCHE_TOKEN", "s3cret")
        async with AsyncClient.from_environment() as known:
            assert await known.models()
    await engine.aclose()
