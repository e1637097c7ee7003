"""Every index that is set up is listed, and one that cannot be counted fails no other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.client import AsyncClient, ChercheError
from sidecar.engines.embedded import EmbeddedEngine
from sidecar.errors import unavailable
from sidecar.testing import FakeModel, running_server
from sidecar.values.index import IndexList, IndexStats, IndexSummary


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[EmbeddedEngine]:
    engine = EmbeddedEngine(tmp_path / "index.sqlite")
    yield engine
    await engine.aclose()


async def test_each_index_has_models_counts_and_what_it_lacks(
    engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_server(engine, [FakeModel()]) as server, AsyncClient(server.address) as client:
        assert await client.indices() == IndexList(())
        for name in ("books", "articles", "gone"):
            await client.setup(name)
        await client.feed("books", [{"_id": "1", "text": "a duck"}, {"_id": "2"}])
        await server.client.remove_index("gone")
        found = await client.indices()
        assert found == IndexList(
            (
                IndexSummary("articles", "fake", "", IndexStats(0, 0, 0), True),
                IndexSummary("books", "fake", "", IndexStats(2, 1, 0), True),
            ),
            others=1,
        )
    async with running_server(engine, [FakeModel("other", dim=8)]) as server, AsyncClient(server.address) as client:
        counted = engine.stats

        async def stats(index: str) -> IndexStats:
            if index == "articles":
                raise unavailable("index 'articles' is closed", "open it")
            return IndexStats(*(2, 0, 2)) if index == "books" else await counted(index)

        monkeypatch.setattr(EmbeddedEngine, "stats", lambda self, index: stats(index))
        articles, books = (await client.indices()).indices
        assert not articles.served
        assert not books.served
        assert "'fake'" in articles.finding
        assert "cherche serve" in articles.finding
    async with running_server(engine, [FakeModel()]) as server, AsyncClient(server.address) as client:
        articles, books = (await client.indices()).indices
        assert articles.finding == "index 'articles' is closed — open it"
        assert books.finding == "2 documents wait — run: cherche backfill books"
        assert (articles.served, books.served) == (True, True)


async def test_an_engine_that_does_not_answer_is_an_error(
    engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(self: EmbeddedEngine) -> None:
        raise unavailable("no cluster answers", "start it")

    monkeypatch.setattr(EmbeddedEngine, "list_indices", refuse)
    async with running_server(engine, [FakeModel()]) as server, AsyncClient(server.address, timeout=2) as client:
        with pytest.raises(ChercheError, match="no cluster answers"):
            await client.indices()
