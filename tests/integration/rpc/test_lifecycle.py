"""How a sidecar begins, tells its health and ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest

from sidecar.client.client import Client
from sidecar.config import Metrics, Settings
from sidecar.errors import ChercheError, Code
from sidecar.pb.cherche.v1 import encoder_pb2, encoder_pb2_grpc
from sidecar.protocols import Engine
from sidecar.serve import in_process, running
from sidecar.services import ENCODER, MODEL, RERANKER, SEARCH
from sidecar.testing import FakeModel, running_server
from sidecar.values.encoded import Text
from tests.integration.rpc.conftest import until


async def test_not_serving_until_warm(engine: Engine, model: FakeModel) -> None:
    model.gate.clear()
    async with running_server(engine, [model], warm=False) as server:
        assert not await server.client.is_serving()
        assert not await server.client.is_serving(SEARCH)
        assert await server.client.is_serving(MODEL)
        assert [m.state for m in await server.client.list_models()] == ["LOADING"]
        call = encoder_pb2.EncodeQueriesRequest(items=[{"text": "a"}])
        async with grpc.aio.insecure_channel(server.address) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await encoder_pb2_grpc.EncoderServiceStub(channel).EncodeQueries(call)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        model.gate.set()
        await server.sidecar.warm()
        for service in ("", SEARCH, ENCODER, RERANKER):
            assert await server.client.is_serving(service)
        with pytest.raises(ChercheError):
            await server.client.is_serving("unknown.Service")


async def test_no_reranker_no_reranker_service(engine: Engine) -> None:
    async with running_server(engine, [FakeModel(late_interaction=False)]) as server:
        assert await server.client.is_serving(ENCODER)
        assert not await server.client.is_serving(RERANKER)
        with pytest.raises(ChercheError, match="no late-interaction head"):
            await server.client.rerank("a", [Text("b")])


async def test_a_default_model_that_fails_is_an_error(engine: Engine) -> None:
    def broken(name: str, source: str) -> FakeModel:
        raise FileNotFoundError(source)

    settings = Settings(port=0, models={"m": "nowhere"}, metrics=Metrics(port=-1))
    async with running(settings, engine=engine, loader=broken) as sidecar:
        with pytest.raises(ChercheError, match="nowhere") as caught:
            await sidecar.warm()
    assert caught.value.code is Code.FAILED_PRECONDITION


async def test_drain_lets_calls_end_and_refuses_new_ones(engine: Engine, model: FakeModel) -> None:
    settings = Settings(port=0, models={"m": "m"}, metrics=Metrics(port=-1), drain=10)
    context = running(settings, engine=engine, loader=lambda name, source: model)
    sidecar = await context.__aenter__()
    await sidecar.warm()
    async with Client(sidecar.address, timeout=10) as client:
        model.gate.clear()
        held = asyncio.create_task(client.encode_queries([Text("held")]))
        await until(lambda: model.waiting)
        stopping = asyncio.create_task(context.__aexit__(None, None, None))
        assert await refusal(sidecar.address) in (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED)
        assert not held.done()
        model.gate.set()
        assert (await held).items[0].weights
        await stopping


async def test_one_that_leaves_says_so_and_still_answers(engine: Engine) -> None:
    async with running_server(engine) as server:
        assert await server.client.is_serving(MODEL)
        leaving = asyncio.create_task(server.sidecar.leave(3600))
        for service in ("", SEARCH, MODEL):
            while await server.client.is_serving(service):  # noqa: ASYNC110  # another process's event
                await asyncio.sleep(0)
        assert (await server.client.encode_queries([Text("late")])).items[0].weights
        leaving.cancel()


async def refusal(address: str) -> Code:
    """What a new caller is told, once it is told no."""
    async with asyncio.timeout(10), Client(address, timeout=0.5) as late:
        while True:
            try:
                await late.list_models()
            except ChercheError as error:
                return error.code


async def test_a_sidecar_in_this_process_is_for_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.serve._loader", lambda settings: lambda name, source: FakeModel())
    settings = Settings(embedded={"path": tmp_path / "index.sqlite"})  # type: ignore[arg-type]  # pydantic reads it
    async with in_process(settings) as client:
        assert client.address.startswith("127.0.0.1:")
        assert [model.name for model in await client.list_models()] == ["cherche-tiny"]
        async with Client(client.address, timeout=5) as other:
            with pytest.raises(ChercheError) as caught:
                await other.list_models()
    assert caught.value.code is Code.UNAUTHENTICATED
