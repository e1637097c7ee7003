"""The gRPC server: health, reflection, TLS, message limits, its port."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from pydantic import SecretStr

from sidecar.client.client import Client
from sidecar.config import Limits, Metrics, Settings, Tls
from sidecar.errors import ChercheError, Code
from sidecar.pb.cherche.v1 import encoder_pb2, encoder_pb2_grpc, model_pb2, model_pb2_grpc
from sidecar.protocols import Engine
from sidecar.serve import running
from sidecar.services import ENCODER, MODEL, RERANKER, SEARCH, SERVICES
from sidecar.testing import FakeModel, RunningServer, running_server
from sidecar.values.encoded import Text


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


async def test_one_that_leaves_says_so_and_still_answers(engine: Engine) -> None:
    async with running_server(engine) as server:
        assert await server.client.is_serving(MODEL)
        leaving = asyncio.create_task(server.sidecar.leave(3600))
        for service in ("", SEARCH, MODEL):
            while await server.client.is_serving(service):  # noqa: ASYNC110  # another process's event
                await asyncio.sleep(0)
        assert (await server.client.encode_queries([Text("late")])).items[0].weights
        leaving.cancel()


async def test_reflection_names_the_services(server: RunningServer) -> None:
    async def requests() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")

    async with grpc.aio.insecure_channel(server.address) as channel:
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(requests())
        [response] = [response async for response in call]
    named = {service.name for service in response.list_services_response.service}
    assert named == {*SERVICES, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}


def certified(folder: Path, names: str) -> tuple[Path, Path]:
    """A certificate of its own authority, and its key."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    name = ["-subj", "/CN=localhost", "-addext", f"subjectAltName={names}"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *name]
    subprocess.run([*command, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    return cert, key


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certified(tmp_path_factory.mktemp("tls"), "IP:127.0.0.1,DNS:localhost")


async def test_tls_with_a_token(engine: Engine, certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    settings = Settings(
        host="0.0.0.0",
        port=0,
        tls=Tls(cert=cert, key=key),
        token=SecretStr("t"),
        models={"m": "m"},
        metrics=Metrics(port=-1),
    )
    async with running(settings, engine=engine, loader=lambda name, source: FakeModel()) as sidecar:
        await sidecar.warm()
        trusting = Settings(tls=Tls(ca=cert), token=SecretStr("t"))
        async with Client.from_settings(trusting, sidecar.address) as client:
            assert await client.list_models()
        async with Client(sidecar.address, token="t", timeout=2) as plain:
            with pytest.raises(ChercheError):
                await plain.list_models()


async def test_a_taken_port_says_so(engine: Engine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(port=taken.getsockname()[1], models={"m": "m"}, metrics=Metrics(port=-1))
        with pytest.raises(ChercheError) as caught:
            async with running(settings, engine=engine, loader=lambda name, source: FakeModel()):
                pass
    assert caught.value.code is Code.FAILED_PRECONDITION
    assert "--port" in caught.value.next_step


async def test_too_many_items_and_too_large_messages_are_refused(engine: Engine) -> None:
    limits = Limits(items=3, request_bytes=1 << 16, document_bytes=1 << 14)
    async with running_server(engine, settings=Settings(limits=limits)) as server:
        with pytest.raises(ChercheError, match="4 items in one call, the limit is 3"):
            await server.client.encode_documents([Text("a")] * 4)
        async with grpc.aio.insecure_channel(server.address) as channel:
            request = model_pb2.GetModelRequest(name="x" * (1 << 17))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await model_pb2_grpc.ModelServiceStub(channel).GetModel(request)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        # gRPC core answers before a handler could: `protos/README.md` says what to do then.
        assert re.search(r"Received message larger than max \(\d+ vs. 65536\)", caught.value.details() or "")
