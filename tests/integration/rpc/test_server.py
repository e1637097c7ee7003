"""What every call passes through, and how a sidecar begins and ends."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Self

import grpc
import pytest
from pydantic import SecretStr

from sidecar.config import Batching, Limits, Metrics, Settings, Tls
from sidecar.engines.embedded import EmbeddedEngine
from sidecar.errors import ChercheError, Code
from sidecar.pb.cherche.v1 import encoder_pb2, encoder_pb2_grpc, model_pb2, model_pb2_grpc
from sidecar.protocols import Engine
from sidecar.rpc.client import Client
from sidecar.rpc.serve import in_process, running
from sidecar.rpc.server import ENCODER, MODEL, RERANKER, SEARCH, check_exposure
from sidecar.rpc.values import Text
from sidecar.testing import FakeModel, RunningServer, running_server
from sidecar.types import Identity, IndexOptions, SearchRequest, SourceDocument


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
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


# Health, warmth, drain


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


async def refusal(address: str) -> Code:
    """What a new caller is told, once it is told no."""
    async with asyncio.timeout(10), Client(address, timeout=0.5) as late:
        while True:
            try:
                await late.list_models()
            except ChercheError as error:
                return error.code


async def test_a_sidecar_in_this_process_is_for_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.rpc.serve._loader", lambda settings: lambda name, source: FakeModel())
    settings = Settings(embedded={"path": tmp_path / "index.sqlite"})  # type: ignore[arg-type]  # pydantic reads it
    async with in_process(settings) as client:
        assert client.address.startswith("127.0.0.1:")
        assert [model.name for model in await client.list_models()] == ["cherche-tiny"]
        async with Client(client.address, timeout=5) as other:
            with pytest.raises(ChercheError) as caught:
                await other.list_models()
    assert caught.value.code is Code.UNAUTHENTICATED


# Who may call


async def test_a_token_is_asked_for(engine: Engine) -> None:
    settings = Settings(token=SecretStr("s3cret"))
    async with running_server(engine, settings=settings) as server:
        assert await server.client.list_models()
        for token in ("", "other", "s3cret "):
            with pytest.raises(ChercheError) as caught:
                async with Client(server.address, token=token, timeout=5) as stranger:
                    await stranger.list_models()
            assert caught.value.code is Code.UNAUTHENTICATED
            assert "CHERCHE_TOKEN" in caught.value.next_step
        async with Client(server.address, timeout=5) as probe:
            assert await probe.is_serving()


@pytest.mark.parametrize("secret", ["s\u00e9cret", "two\nlines"])
def test_secrets_that_no_header_carries_are_refused_unseen(secret: str) -> None:
    for name in ("token", "authorization"):
        with pytest.raises(ChercheError) as caught:
            Client("127.0.0.1:1", **{name: secret})  # type: ignore[arg-type]  # one of the two
        assert secret not in str(caught.value)


async def test_loading_models_can_be_forbidden(engine: Engine) -> None:
    async with running_server(engine, settings=Settings(allow_load=False)) as server:
        for call in (server.client.load_model("a", "fake"), server.client.unload_model("fake")):
            with pytest.raises(ChercheError) as caught:
                await call
            assert caught.value.code is Code.PERMISSION_DENIED


class Recording(EmbeddedEngine):
    """An engine that knows who called."""

    callers: list[str | None]

    def as_caller(self, identity: Identity) -> Self:
        self.callers.append(identity.authorization)
        return self


async def test_cluster_credentials_are_forwarded(tmp_path: Path) -> None:
    engine = Recording(tmp_path / "index.sqlite")
    engine.callers = []
    async with running_server(engine, authorization="Basic dTpw") as server:
        await server.client.setup_index("a", IndexOptions())
        await server.client.search(SearchRequest("a", "x"))
        async with Client(server.address, timeout=5) as anonymous:
            await anonymous.search(SearchRequest("a", "x"))
    await engine.aclose()
    assert engine.callers == ["Basic dTpw", "Basic dTpw", None]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *name]
    subprocess.run([*command, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    return cert, key


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


@pytest.mark.parametrize(
    "settings",
    [
        Settings(host="0.0.0.0"),
        Settings(host="0.0.0.0", token=SecretStr("t")),
        Settings(host="example.org", tls=Tls(cert=Path("c"), key=Path("k"))),
        Settings(tls=Tls(cert=Path("c"))),
    ],
)
def test_exposure_needs_protection(settings: Settings) -> None:
    with pytest.raises(ChercheError) as caught:
        check_exposure(settings)
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert "--tls-cert" in caught.value.next_step


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(host="::1"),
        Settings(host="0.0.0.0", insecure=True),
        Settings(host="0.0.0.0", token=SecretStr("t"), tls=Tls(cert=Path("c"), key=Path("k"))),
        Settings(host="0.0.0.0", tls=Tls(cert=Path("c"), key=Path("k"), client_ca=Path("a"))),
    ],
)
def test_protected_or_local_is_fine(settings: Settings) -> None:
    check_exposure(settings)


async def test_a_taken_port_says_so(engine: Engine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(port=taken.getsockname()[1], models={"m": "m"}, metrics=Metrics(port=-1))
        with pytest.raises(ChercheError) as caught:
            async with running(settings, engine=engine, loader=lambda name, source: FakeModel()):
                pass
    assert caught.value.code is Code.FAILED_PRECONDITION
    assert "--port" in caught.value.next_step


async def test_an_engine_without_an_address_is_refused() -> None:
    with pytest.raises(ChercheError, match="address of a cluster"):
        async with running(Settings(engine="opensearch", port=0)):
            pass


# Limits, overload, deadlines


async def test_a_document_over_the_limit_fails_alone(engine: Engine) -> None:
    """Checked by the server itself: this client lets more through than the server takes."""
    small = Settings(limits=Limits(document_bytes=100))
    async with running_server(engine, settings=small) as server, Client(server.address, timeout=10) as generous:
        items = (await generous.encode_documents([Text("a"), Text("x" * 101, "big"), Text("b")])).items
        assert [item.error is None for item in items] == [True, False, True]
        assert items[1].error is not None
        assert "document 'big' has 101 bytes, the limit is 100" in items[1].error.reason
        await generous.setup_index("a", IndexOptions())

        async def documents() -> AsyncIterator[SourceDocument]:
            yield SourceDocument("1", b'{"text": "small"}')
            yield SourceDocument("2", b'{"text": "' + b"x" * 100 + b'"}')
            yield SourceDocument("3", b'{"text": "small too"}')

        results = [result async for result in generous.index_documents("a", documents())]
        assert [result.outcome for result in results] == ["encoded", "failed", "encoded"]


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


async def test_an_answer_that_cannot_be_received_is_refused(engine: Engine) -> None:
    limits = Limits(request_bytes=1 << 13, document_bytes=1 << 12)
    async with running_server(engine, settings=Settings(limits=limits)) as server:
        words = " ".join(f"w{i}" for i in range(126))
        with pytest.raises(ChercheError, match="the answer has") as caught:
            await server.client.encode_documents([Text(words)] * 4)
        assert caught.value.code is Code.INVALID_ARGUMENT


async def test_overload_tells_when_to_retry_and_the_client_does(engine: Engine, model: FakeModel) -> None:
    settings = Settings(limits=Limits(queue_items=2), batching=Batching(tokens=64))
    async with running_server(engine, [model], settings=settings) as server:
        blocker = await occupied(server, model)
        filling = asyncio.create_task(server.client.encode_documents([Text("a"), Text("b")]))
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


async def test_a_stream_that_meets_a_full_queue_waits(engine: Engine, model: FakeModel) -> None:
    settings = Settings(limits=Limits(queue_items=2))
    async with running_server(engine, [model], settings=settings) as server:
        blocker = await occupied(server, model)

        async def texts() -> AsyncIterator[Text]:
            for i in range(20):
                yield Text(f"w{i}")

        async def collect() -> list[bool]:
            return [item.error is None async for item in server.client.stream_documents(texts())]

        streaming = asyncio.create_task(collect())
        refused = server.sidecar.metrics.registry.get_sample_value
        labels = {"model": "fake", "lane": "ingest"}
        await until(lambda: (refused("cherche_refused_calls_total", labels) or 0) > 0)
        model.gate.set()
        assert await streaming == [True] * 20
        await blocker


async def test_a_stream_is_read_no_further_than_may_be_unanswered(engine: Engine, model: FakeModel) -> None:
    settings = Settings(limits=Limits(stream_in_flight=4))
    async with running_server(engine, [model], settings=settings) as server:
        blocker = await occupied(server, model)

        async def texts() -> AsyncIterator[Text]:
            for i in range(50):
                yield Text(f"w{i}")

        async def collect() -> int:
            return len([item async for item in server.client.stream_documents(texts())])

        streaming = asyncio.create_task(collect())
        await until(lambda: waiting(server) == 4)
        for _ in range(50):
            await asyncio.sleep(0)
        assert waiting(server) == 4
        model.gate.set()
        assert await streaming == 50
        await blocker


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
    async with running_server(engine, [model], settings=Settings(limits=Limits(deadline=0.2))) as server:
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

    monkeypatch.setattr("sidecar.pipeline.report", endless)
    hasty = Settings(limits=Limits(deadline=0.1))
    async with running_server(engine, settings=hasty) as server, Client(server.address, timeout=10) as patient:
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


# A sidecar that is not well


class Hanging(grpc.GenericRpcHandler):
    """Takes every call and answers none."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        async def hang(*_: object) -> None:
            await asyncio.Event().wait()

        if handler_call_details.method.endswith("IndexDocuments"):
            return grpc.stream_stream_rpc_method_handler(hang)
        return grpc.unary_unary_rpc_method_handler(hang)


@pytest.fixture
async def hanging() -> AsyncIterator[str]:
    server = grpc.aio.server(handlers=[Hanging()])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(0)


@pytest.fixture
async def mute() -> AsyncIterator[str]:
    """Something that accepts connections and never says a word."""
    held: list[asyncio.StreamWriter] = []

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    for writer in held:
        writer.close()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("kind", ["hanging", "mute"])
async def test_silence_is_a_deadline(kind: str, hanging: str, mute: str) -> None:
    silent = hanging if kind == "hanging" else mute
    async with Client(silent, timeout=0.3) as client:
        with pytest.raises(ChercheError) as caught:
            await client.search(SearchRequest("a", "b"))
        assert caught.value.code is Code.DEADLINE_EXCEEDED
        assert silent in caught.value.reason

        async def documents() -> AsyncIterator[SourceDocument]:
            yield SourceDocument("1", b"{}")

        with pytest.raises(ChercheError) as caught:
            [result async for result in client.index_documents("a", documents())]
        assert caught.value.code is Code.DEADLINE_EXCEEDED


async def test_nobody_there_is_said_with_the_next_step() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    async with Client(address, timeout=5) as client:
        with pytest.raises(ChercheError) as caught:
            await client.list_models()
    assert caught.value.code is Code.UNAVAILABLE
    assert caught.value.next_step == "start one with: cherche serve"


async def test_a_defect_is_internal_and_tells_no_secrets(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    async def defect(*_: object) -> None:
        raise RuntimeError("user text in here")

    monkeypatch.setattr("sidecar.pipeline.report", defect)
    async with running_server(engine) as server:
        with pytest.raises(ChercheError) as caught:
            await server.client.get_index("a")
    assert caught.value.code is Code.INTERNAL
    assert "RuntimeError" in caught.value.reason
    assert "user text" not in str(caught.value)
