"""Requests made from the OpenAPI document, right ones and wrong ones, against a real port."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from sidecar import config
from sidecar.engines.embedded import EmbeddedEngine
from sidecar.gateway.dialects import DIALECTS
from sidecar.gateway.state import STATES
from sidecar.testing import FakeModel, running_server


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gateway in a loop of its own, as schemathesis calls it from this thread."""
    path: Path = tmp_path_factory.mktemp("gateway") / "index.sqlite"
    urls: list[str] = []
    started = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        engine = EmbeddedEngine(path)
        options = config.Settings(gateway=config.Gateway(port=0))
        try:
            async with running_server(engine, [FakeModel()], settings=options) as server:
                urls.append(server.sidecar.gateway_url)
                started.set()
                await stop.wait()
        finally:
            started.set()
            await engine.aclose()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert started.wait(60)
    yield urls[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(60)
    loop.close()


@pytest.fixture(scope="module")
def document(gateway: str) -> Any:
    return schemathesis.openapi.from_url(f"{gateway}/openapi.json")


MOST = 20
"""Requests of each kind for each path."""

BEYOND_SCHEMAS = ("empty", " in the body and ")
"""What no schema says: of empty documents alone there is no order, and a body may contradict the URL."""

PATHS = [dialect.path for dialect in DIALECTS]


def test_every_path_is_tried(document: Any) -> None:
    assert {*PATHS, *(state.path for state in STATES)} == set(document)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["right", "wrong"])
@pytest.mark.parametrize("path", PATHS)
def test_the_gateway_keeps_its_document(gateway: str, document: Any, path: str, mode: GenerationMode) -> None:
    @given(case=document[path]["POST"].as_strategy(generation_mode=mode))
    @settings(max_examples=MOST, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def hold(case: schemathesis.Case) -> None:
        answer = case.call()
        if not (answer.status_code == 422 and any(said in answer.json()["reason"] for said in BEYOND_SCHEMAS)):
            case.validate_response(answer)

    hold()
