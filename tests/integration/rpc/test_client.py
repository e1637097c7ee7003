"""The client against a real server: parts, retries, lost reasons and names in certificates."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from sidecar.client.calls import Calls
from sidecar.client.client import Client
from sidecar.config import Batching, Limits, Metrics, Settings, Tls
from sidecar.errors import ChercheError, Code
from sidecar.pb.cherche.v1 import encoder_pb2, encoder_pb2_grpc
from sidecar.protocols import Engine
from sidecar.serve import running
from sidecar.testing import FakeModel, RunningServer, running_server
from sidecar.values.documents import SourceDocument
from sidecar.values.encoded import Text
from sidecar.values.index import IndexOptions
from tests.integration.rpc.conftest import occupied, until, waiting


async def test_large_batches_go_in_parts(server: RunningServer) -> None:
    texts = [Text(f"w{i}", str(i)) for i in range(600)]
    result = await server.client.encode_documents(texts)
    assert [item.id for item in result.items] == [text.id for text in texts]
    assert all(item.error is None for item in result.items)


async def test_what_a_stream_is_fed_from_may_fail(server: RunningServer) -> None:
    async def texts() -> AsyncIterator[Text]:
        yield Text("a")
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        [item async for item in server.client.stream_documents(texts())]


async def test_overload_tells_when_to_retry_and_the_client_does(engine: Engine, model: FakeModel) -> None:
    settings = Settings(limits=Limits(queue_items=2), batching=Batching(tokens=64))
    async with running_server(engine, [model], settings=settings) as server:
        blocker = await occupied(server, model)
        filling = asyncio.create_task(server.client.encode_queries([Text("a"), Text("b")]))
        await until(lambda: waiting(server) == 2)
        async with grpc.aio.insecure_channel(server.address) as channel:
            request = encoder_pb2.EncodeQueriesRequest(items=[{"text": "more"}])
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await encoder_pb2_grpc.EncoderServiceStub(channel).EncodeQueries(request)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        error = server.client._calls.error(caught.value)
        assert error.retry_after is not None
        assert error.retry_after >= 0.1
        patient = asyncio.create_task(server.client.encode_queries([Text("more")]))
        refused = server.sidecar.metrics.registry.get_sample_value
        labels = {"model": "fake", "lane": "query"}
        await until(lambda: refused("cherche_refused_calls_total", labels) == 2)
        model.gate.set()
        assert (await patient).items[0].weights
        await asyncio.gather(blocker, filling)


def certified(folder: Path, names: str) -> tuple[Path, Path]:
    """A certificate of its own authority, and its key."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    name = ["-subj", "/CN=localhost", "-addext", f"subjectAltName={names}"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *name]
    subprocess.run([*command, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    return cert, key


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certified(tmp_path_factory.mktemp("named"), "DNS:localhost")


async def test_names_of_a_list_are_held_against_certificates(engine: Engine, named: tuple[Path, Path]) -> None:
    """Looked up, a name is an address; what the certificate must have is the name all the same."""
    cert, key = named
    settings = Settings(port=0, tls=Tls(cert=cert, key=key), models={"m": "m"}, metrics=Metrics(port=-1))
    async with running(settings, engine=engine, loader=lambda name, source: FakeModel()) as sidecar:
        await sidecar.warm()
        port = sidecar.address.rpartition(":")[2]
        trusting = Settings(tls=Tls(ca=cert), limits=Limits(deadline=60))
        async with Client.from_settings(trusting, f"localhost:{port},127.0.0.1:{port}") as client:
            assert await client.list_models()
        async with Client.from_settings(trusting, f"127.0.0.1:{port},localhost:{port}") as client:
            with pytest.raises(ChercheError, match="no sidecar answers"):
                await client.list_models()


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every stream ends as one whose write came too late."""

    async def responses(self: Calls, call: Any, owes: Any = None) -> AsyncGenerator[Any, None]:
        call.cancel()
        none = grpc.aio.Metadata()
        raise self.error(grpc.aio.AioRpcError(grpc.StatusCode.INTERNAL, none, none, "Internal error from Core"))
        yield

    monkeypatch.setattr(Calls, "responses", responses)


async def feed(server: RunningServer) -> None:
    async def documents() -> AsyncIterator[SourceDocument]:
        yield SourceDocument("1", b'{"text": "ducks"}')

    async for result in server.client.index_documents("articles", documents()):
        raise AssertionError(f"nothing was answered, but {result}")


async def test_a_feed_says_that_the_index_is_missing(server: RunningServer, lost: None) -> None:
    with pytest.raises(ChercheError, match="cherche setup articles") as raised:
        await feed(server)
    assert raised.value.code is Code.NOT_FOUND


async def test_a_feed_into_a_sound_index_may_be_run_again(server: RunningServer, lost: None) -> None:
    await server.client.setup_index("articles", IndexOptions())
    with pytest.raises(ChercheError, match="ended the stream — run the same again") as raised:
        await feed(server)
    assert raised.value.code is Code.UNAVAILABLE


async def test_a_stream_of_texts_says_that_the_model_is_missing(server: RunningServer, lost: None) -> None:
    async def texts() -> AsyncIterator[Text]:
        yield Text("ducks")

    answers = server.client.stream_documents(texts(), model="absent")
    with pytest.raises(ChercheError, match="is not served") as raised:
        await anext(answers)
    assert raised.value.code is Code.NOT_FOUND
