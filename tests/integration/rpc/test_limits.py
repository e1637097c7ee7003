"""Limits, overload, back-pressure, deadlines, cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from sidecar.client.client import Client
from sidecar.config import Batching, Limits, Settings
from sidecar.errors import ChercheError, Code
from sidecar.pb.cherche.v1 import encoder_pb2, encoder_pb2_grpc, model_pb2, model_pb2_grpc
from sidecar.protocols import Engine
from sidecar.testing import FakeModel, running_server
from sidecar.values.documents import SourceDocument
from sidecar.values.encoded import Text
from sidecar.values.index import IndexOptions
from tests.integration.rpc.conftest import occupied, until, waiting


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

    monkeypatch.setattr("sidecar.maintenance.setup.report", endless)
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
