from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from sidecar.engines.embedded import EmbeddedEngine
from sidecar.protocols import Engine
from sidecar.testing import FakeModel, RunningServer, running_server
from sidecar.values.documents import SourceDocument
from sidecar.values.encoded import Text
from sidecar.values.index import IndexOptions


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    engine = EmbeddedEngine(tmp_path / "index.sqlite")
    yield engine
    await engine.aclose()


@pytest.fixture
def model() -> FakeModel:
    return FakeModel(synonyms={"car": "automobile"})


@pytest.fixture
async def server(engine: Engine, model: FakeModel) -> AsyncIterator[RunningServer]:
    async with running_server(engine, [model]) as running:
        yield running
        model.gate.set()


async def stream(*sources: tuple[str, bytes]) -> AsyncIterator[SourceDocument]:
    for id, raw in sources:
        yield SourceDocument(id, raw)


@pytest.fixture
async def fed(server: RunningServer) -> RunningServer:
    await server.client.setup_index("cars", IndexOptions())
    texts = ["red car", "blue automobile", "green tree", "a car and an automobile"]
    documents = stream(*((str(i), b'{"title": "t%d", "text": "%s"}' % (i, t.encode())) for i, t in enumerate(texts)))
    results = [result async for result in server.client.index_documents("cars", documents)]
    assert [result.outcome for result in results] == ["encoded"] * 4
    return server


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for a condition; a busy machine takes long to meet it, a broken one never does."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # set by the thread of a model, which knows no events
            await asyncio.sleep(0.001)


async def occupied(server: RunningServer, model: FakeModel) -> asyncio.Task[Any]:
    """A call that the model holds on to."""
    model.gate.clear()
    task = asyncio.create_task(server.client.encode_queries([Text("blocker")]))
    await until(lambda: model.waiting)
    return task


def waiting(server: RunningServer) -> int:
    return server.sidecar.registry.ready()[0].waiting  # type: ignore[attr-defined]  # a Batcher
