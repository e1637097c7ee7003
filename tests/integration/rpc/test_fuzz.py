"""Every RPC and every route answers thousands of odd requests with a typed error, or does what they ask."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest

from sidecar import config
from sidecar.engines.embedded import EmbeddedEngine
from sidecar.services import Services
from sidecar.testing import FakeModel, RunningServer, running_server
from sidecar.values.index import IndexOptions
from tests.fuzz import METHODS, http_storm, rpc_storm
from tests.integration.rpc.conftest import stream

SEED = 20_261
RPCS = 25 * len(METHODS)
BODIES = 300
GROWTH = 300
"""MiB; a leak of a request's size would take more."""


@pytest.fixture(autouse=True)
def no_collection() -> Iterator[None]:
    """Bodies of this process reach the recursion limit; a finalizer that a collection ran there could only fail."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    gc.collect()


@pytest.fixture
async def attacked(tmp_path: Path) -> AsyncIterator[RunningServer]:
    """A sidecar with a gateway and a fed index; callers may load models."""
    engine = EmbeddedEngine(tmp_path / "index.sqlite")
    settings = config.Settings(gateway=config.Gateway(port=0), limits=config.Limits(deadline=5.0))
    async with running_server(engine, [FakeModel()], settings=settings) as server:
        await server.client.setup_index("articles", IndexOptions())
        documents = stream(("1", b'{"title": "red", "text": "car"}'), ("2", b'{"title": "blue", "text": "car"}'))
        assert [one.outcome async for one in server.client.index_documents("articles", documents)] == ["encoded"] * 2
        yield server
    await engine.aclose()


async def test_no_rpc_fails_in_a_way_of_its_own(attacked: RunningServer) -> None:
    async with grpc.aio.insecure_channel(attacked.address) as channel:
        # Libraries are loaded by the first requests that need them.
        first = await rpc_storm(channel, SEED - RPCS // 2, RPCS // 2, attacked.client.is_serving)
        storm = await rpc_storm(channel, SEED, RPCS, attacked.client.is_serving)
    assert first.found + storm.found == []
    assert {method for method, _ in storm.answers} == {method.full_name for method in METHODS}
    assert {code for _, code in storm.answers} >= {"OK", "INVALID_ARGUMENT", "NOT_FOUND"}
    assert storm.grown < GROWTH
    families = [one for one in attacked.sidecar.metrics.registry.collect() if one.name == "cherche_requests"]
    codes = {sample.labels["code"] for family in families for sample in family.samples}
    assert codes
    assert not codes & {"INTERNAL", "UNKNOWN"}
    await attacked.client.is_serving()


async def test_no_body_fails_in_a_way_of_its_own(attacked: RunningServer) -> None:
    storm = await http_storm(attacked.sidecar.gateway_url, SEED, BODIES, attacked.client.is_serving)
    assert storm.found == []
    assert {"200", "422"} <= {status for _, status in storm.answers}
    assert storm.grown < GROWTH


async def test_a_planted_fault_is_found(attacked: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(self: Services, name: str, text: str) -> None:
        _ = text[0]

    monkeypatch.setattr(Services, "check_text", careless)
    async with grpc.aio.insecure_channel(attacked.address) as channel:
        storm = await rpc_storm(channel, SEED, 2 * RPCS, attacked.client.is_serving)
    assert storm.found
    assert all("IndexError" in said for _, _, said in storm.found), storm.found
