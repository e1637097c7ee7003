"""EncoderService over a real server: batches, streams, limits and back-pressure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import numpy as np
import pytest

from cherche_models import codec
from sidecar.client.client import Client
from sidecar.config import Limits, Settings
from sidecar.errors import ChercheError, Code
from sidecar.pb.cherche.v1 import encoder_pb2, encoder_pb2_grpc
from sidecar.pipeline.fingerprint import sparse_fingerprint
from sidecar.protocols import Engine
from sidecar.testing import FakeModel, RunningServer, running_server
from sidecar.values.documents import SourceDocument
from sidecar.values.encoded import Text
from sidecar.values.index import IndexOptions
from tests.integration.rpc.conftest import occupied, until, waiting

BAD = [
    Text("good", "a"),
    Text("", "b"),
    Text("poison"),
    Text("notanumber", "d"),
    Text("\ud800", "e"),
    Text("fine", "f"),
]


async def test_documents_are_encoded_and_bad_ones_fail_alone(server: RunningServer, model: FakeModel) -> None:
    result = await server.client.encode_documents(BAD)
    assert [item.index for item in result.items] == list(range(6))
    assert [item.id for item in result.items] == ["a", "b", "", "d", "e", "f"]
    assert [item.error.code if item.error else None for item in result.items] == [
        None,
        Code.INVALID_ARGUMENT,
        Code.INTERNAL,
        Code.INTERNAL,
        Code.INVALID_ARGUMENT,
        None,
    ]
    names = ["document 'b'", "document 2", "document 'd'", "document 'e'"]
    for item, name in zip([i for i in result.items if i.error], names, strict=True):
        assert item.error is not None
        assert name in item.error.reason
        assert item.error.next_step
        assert item.weights is item.codes is None
    good = result.items[0]
    assert good.weights == {f"h{model.token_id('good') - 6}": pytest.approx(np.log(2), rel=0.002)}
    assert good.codes is not None
    assert codec.codes_header(good.codes).tokens == 1
    assert (good.tokens, good.truncated, result.model) == (3, False, "fake")
    expected = sparse_fingerprint(model.info, max_length=128, prune="none", naming="escaped")
    assert result.fingerprint is not None
    assert result.fingerprint.sparse == expected


async def test_outputs_pruning_and_length_are_as_asked(server: RunningServer) -> None:
    text = [Text("a b c d e f g h")]
    [item] = (await server.client.encode_documents(text, outputs=["term_weights"], prune="top_k:2")).items
    assert item.weights is not None
    assert len(item.weights) == 2
    assert item.codes is None
    [item] = (await server.client.encode_documents(text, outputs=["token_codes"], max_length=5)).items
    assert (item.weights, item.tokens, item.truncated) == (None, 5, True)
    for wrong in ({"prune": "most"}, {"max_length": 129}, {"model": "other"}):
        with pytest.raises(ChercheError) as caught:
            await server.client.encode_documents(text, **wrong)  # type: ignore[arg-type]  # wrong on purpose
        assert caught.value.code in (Code.INVALID_ARGUMENT, Code.NOT_FOUND)


async def test_queries_are_not_rounded(server: RunningServer) -> None:
    result = await server.client.encode_queries([Text("car"), Text(" ")])
    assert result.items[0].weights is not None
    assert max(result.items[0].weights.values()) == pytest.approx(1.5 * np.log(2), rel=1e-6)
    assert result.items[1].error is not None
    assert result.fingerprint is None
    assert result.timings.total > 0


async def test_a_stream_answers_each_document(server: RunningServer) -> None:
    async def texts() -> AsyncIterator[Text]:
        for text in [*BAD, *(Text(f"w{i}", f"s{i}") for i in range(300))]:
            yield text

    items = [item async for item in server.client.stream_documents(texts())]
    assert sorted(item.index for item in items) == list(range(306))
    assert {item.index for item in items if item.error} == {1, 2, 3, 4}
    by_index = {item.index: item for item in items}
    assert by_index[100].id == "s94"
    assert by_index[100].weights


async def test_a_stream_must_begin_with_its_options(server: RunningServer) -> None:
    async def requests() -> AsyncIterator[encoder_pb2.StreamDocumentsRequest]:
        yield encoder_pb2.StreamDocumentsRequest(item={"text": "a"})

    async with grpc.aio.insecure_channel(server.address) as channel:
        call = encoder_pb2_grpc.EncoderServiceStub(channel).StreamDocuments(requests())
        with pytest.raises(grpc.aio.AioRpcError, match="begin with its options"):
            [response async for response in call]


async def test_a_document_over_the_limit_fails_alone(engine: Engine) -> None:
    """Checked by the server itself: this client lets more through than the server takes."""
    small = Settings(limits=Limits(document_bytes=100))
    async with running_server(engine, settings=small) as server, Client(server.address, timeout=60) as generous:
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
