"""What every call passes through: token, deadline, cancellation, defects."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
import structlog
from pydantic import SecretStr

from sidecar.client.client import Client
from sidecar.config import Limits, Settings
from sidecar.errors import ChercheError, Code, overloaded
from sidecar.observe import logs
from sidecar.observe.metrics import Metrics
from sidecar.pb.cherche.v1 import encoder_pb2, encoder_pb2_grpc
from sidecar.protocols import Engine
from sidecar.rpc import interceptors
from sidecar.rpc.interceptors import AccessInterceptor
from sidecar.rpc.messages import MessageReader
from sidecar.testing import FakeModel, running_server
from sidecar.values.encoded import Text
from tests.integration.rpc.conftest import occupied, until, waiting


async def test_a_token_is_asked_for(engine: Engine) -> None:
    settings = Settings(token=SecretStr("s3cret"))
    async with running_server(engine, settings=settings) as server:
        assert await server.client.list_models()
        for token in ("", "other", "s3cret "):
            with pytest.raises(ChercheError) as caught:
                async with Client(server.address, token=token, timeout=60) as stranger:
                    await stranger.list_models()
            assert caught.value.code is Code.UNAUTHENTICATED
            assert "CHERCHE_TOKEN" in caught.value.next_step
        async with Client(server.address, timeout=60) as probe:
            assert await probe.is_serving()


async def test_callers_without_the_token_do_not_fill_the_log(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interceptors, "LOGGED_EVERY", 3600.0)
    written = io.StringIO()
    logs.configure("info", written)
    async with running_server(engine, settings=Settings(token=SecretStr("s3cret"))) as server:
        async with Client(server.address, timeout=60) as stranger:
            for _ in range(20):
                with pytest.raises(ChercheError, match="token"):
                    await stranger.list_models()
        labels = {"method": "ModelService/ListModels", "code": "UNAUTHENTICATED"}
        assert server.sidecar.metrics.registry.get_sample_value("cherche_requests_total", labels) == 20
    structlog.reset_defaults()
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [(line["code"], line["calls"]) for line in lines if line["event"] == "call"] == [("UNAUTHENTICATED", 1)]


class Gone:
    """The context of a call that ended a moment before it is answered."""

    def invocation_metadata(self) -> tuple[()]:
        return ()

    def time_remaining(self) -> float:
        return 1.0

    async def abort_with_status(self, status: object) -> None:
        raise grpc.aio.InternalError('Failed "execute_batch"')


@pytest.mark.parametrize("token", ["", "s3cret"])
async def test_a_caller_who_has_gone_is_no_error_of_the_sidecar(token: str) -> None:
    async def refusing(requests: object, context: object) -> None:
        raise overloaded("busy", 1.0)

    async def handler(_: object) -> grpc.RpcMethodHandler[object, object]:
        return grpc.stream_unary_rpc_method_handler(refusing)

    metrics, reader = Metrics(), MessageReader(Limits())
    details: Any = SimpleNamespace(method="/cherche.v1.SearchService/Search", invocation_metadata=())
    served: Any = await AccessInterceptor(metrics, reader, token).intercept_service(handler, details)
    with pytest.raises(asyncio.CancelledError):  # which gRPC takes for the end of the call; others it logs
        await served.stream_unary(None, Gone())
    code = "UNAUTHENTICATED" if token else "RESOURCE_EXHAUSTED"
    labels = {"method": "SearchService/Search", "code": code}
    assert metrics.registry.get_sample_value("cherche_requests_total", labels) == 1


async def test_a_deadline_is_kept(engine: Engine, model: FakeModel) -> None:
    async with running_server(engine, [model]) as server:
        blocker = await occupied(server, model)
        async with Client(server.address, timeout=0.1) as hasty:
            with pytest.raises(ChercheError) as caught:
                await hasty.encode_queries([Text("late")])
        assert caught.value.code is Code.DEADLINE_EXCEEDED
        model.gate.set()
        await blocker
        await until(lambda: waiting(server) == 0)
    assert sum(map(len, model.batches)) == 3


async def test_the_servers_own_deadline_bounds_calls_without_one(engine: Engine, model: FakeModel) -> None:
    async with running_server(engine, [model], settings=Settings(limits=Limits(deadline=0.5))) as server:
        model.gate.clear()
        async with grpc.aio.insecure_channel(server.address) as channel:
            request = encoder_pb2.EncodeQueriesRequest(items=[{"text": "late"}])
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await encoder_pb2_grpc.EncoderServiceStub(channel).EncodeQueries(request)
        model.gate.set()
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "model 'fake' did not answer in time" in (caught.value.details() or "")


async def test_work_that_knows_no_deadline_is_bounded_too(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    async def endless(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("sidecar.maintenance.setup.report", endless)
    hasty = Settings(limits=Limits(deadline=0.1))
    async with running_server(engine, settings=hasty) as server, Client(server.address, timeout=60) as patient:
        with pytest.raises(ChercheError, match="GetIndex took longer than the deadline") as caught:
            await patient.get_index("a")
    assert caught.value.code is Code.DEADLINE_EXCEEDED


async def test_a_cancelled_call_frees_its_place(engine: Engine, model: FakeModel) -> None:
    async with running_server(engine, [model]) as server:
        blocker = await occupied(server, model)
        call = asyncio.create_task(server.client.encode_documents([Text(f"w{i}") for i in range(9)]))
        await until(lambda: waiting(server) == 9)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        value = server.sidecar.metrics.registry.get_sample_value
        labels = {"method": "EncoderService/EncodeDocuments", "code": "CANCELLED"}
        await until(lambda: value("cherche_requests_total", labels) == 1)
        model.gate.set()
        await blocker
        await until(lambda: waiting(server) == 0)
    assert sum(map(len, model.batches)) == 3


async def test_a_stream_left_early_ends_on_the_server(engine: Engine, model: FakeModel) -> None:
    async with running_server(engine, [model]) as server:

        async def texts() -> AsyncIterator[Text]:
            while True:
                yield Text("again")

        answers = server.client.stream_documents(texts())
        await anext(answers)
        await answers.aclose()
        value = server.sidecar.metrics.registry.get_sample_value
        labels = {"method": "EncoderService/StreamDocuments", "code": "CANCELLED"}
        await until(lambda: value("cherche_requests_total", labels) == 1)
        assert (await server.client.encode_queries([Text("still there")])).items[0].weights


async def test_a_defect_is_internal_and_tells_no_secrets(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    async def defect(*_: object) -> None:
        raise RuntimeError("user text in here")

    monkeypatch.setattr("sidecar.maintenance.setup.report", defect)
    async with running_server(engine) as server:
        with pytest.raises(ChercheError) as caught:
            await server.client.get_index("a")
    assert caught.value.code is Code.INTERNAL
    assert "RuntimeError" in caught.value.reason
    assert "user text" not in str(caught.value)
