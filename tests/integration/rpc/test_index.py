"""IndexService over a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from sidecar.errors import ChercheError, Code
from sidecar.pb.cherche.v1 import index_pb2, index_pb2_grpc
from sidecar.testing import FakeModel, RunningServer
from sidecar.values.documents import SourceDocument
from sidecar.values.index import IndexOptions
from sidecar.wire.status import from_status
from tests.integration.rpc.conftest import stream


async def test_a_dry_run_writes_nothing(server: RunningServer) -> None:
    planned = await server.client.setup_index("a", IndexOptions(), dry_run=True)
    assert planned.plan.requests
    assert not planned.applied
    with pytest.raises(ChercheError) as caught:
        await server.client.get_index("a")
    assert caught.value.code is Code.NOT_FOUND


async def test_an_index_from_setup_to_removal(fed: RunningServer) -> None:
    client = fed.client
    report = await client.get_index("cars")
    assert (report.stats.documents, report.stats.encoded, report.served) == (4, 4, True)
    assert report.meta is not None
    assert report.meta.model == "fake"
    dumped = [document async for document in client.dump_index("cars")]
    assert [document.id for document in dumped] == ["0", "1", "2", "3"]
    assert json.loads(dumped[0].source_json) == {"title": "t0", "text": "red car"}
    assert all(document.terms_digest and document.codes_digest for document in dumped)
    planned = await client.remove_index("cars", dry_run=True)
    assert (await client.get_index("cars")).stats.encoded == 4
    removed = await client.remove_index("cars")
    assert removed == planned
    assert removed.documents == 4
    assert removed.remains


async def test_a_dump_of_some_documents(fed: RunningServer) -> None:
    async def ids(**asked: Any) -> list[str]:
        return [document.id async for document in fed.client.dump_index("cars", **asked)]

    assert sorted(await ids(ids=["2", "nowhere", "0"])) == ["0", "2"]
    many = [f"nowhere {place}" for place in range(70_000)]
    assert await ids(ids=["2", *many, "0"]) == ["2", "0"]
    sample = await ids(sample=3)
    assert len(sample) == 3
    assert set(sample) < {"0", "1", "2", "3"}
    assert await ids(sample=3) == sample
    with pytest.raises(ChercheError, match="documents by id or of a sample") as caught:
        await ids(ids=["0"], sample=1)
    assert caught.value.code is Code.INVALID_ARGUMENT


async def test_a_feed_tells_of_each_document(fed: RunningServer) -> None:
    documents = stream(
        ("0", b'{"title": "t0", "text": "red car"}'),
        ("1", b'{"title": "t1", "text": "blue automobile", "year": 1999}'),
        ("5", b'{"text": "poison"}'),
        ("6", b"[]"),
        ("7", b'{"text": "\xff"}'),
        ("8", b'{"text": "' + b"x" * (1 << 20) + b'"}'),
        ("", b'{"text": "no id"}'),
        ("\ud800", b'{"text": "a"}'),
        ("0", b'{"text": "twice"}'),
        ("9", b'{"text": "the last"}'),
    )
    results = [result async for result in fed.client.index_documents("cars", documents)]
    outcomes = {result.id: result.outcome for result in results if result.id != "0"}
    assert [result.outcome for result in results if result.id == "0"] == ["unchanged", "failed"]
    assert outcomes.pop("1") == "reused"
    assert outcomes.pop("9") == "encoded"
    assert set(outcomes.values()) == {"failed"}
    assert len(results) == 10
    for result in results:
        assert (result.error is None) == (result.outcome != "failed")


async def test_a_feed_to_nowhere_says_what_to_do(server: RunningServer) -> None:
    with pytest.raises(ChercheError) as caught:
        [result async for result in server.client.index_documents("nowhere", stream(("1", b"{}")))]
    assert caught.value.code is Code.NOT_FOUND


async def test_a_feed_must_begin_with_its_target(server: RunningServer) -> None:
    async def requests() -> AsyncIterator[index_pb2.IndexDocumentsRequest]:
        yield index_pb2.IndexDocumentsRequest(document={"id": "1"})

    async with grpc.aio.insecure_channel(server.address) as channel:
        call = index_pb2_grpc.IndexServiceStub(channel).IndexDocuments(requests())
        with pytest.raises(grpc.aio.AioRpcError, match="begin with its target"):
            [response async for response in call]


async def test_each_document_can_be_awaited_before_the_next_is_sent(fed: RunningServer) -> None:
    """A bidirectional stream must not hold answers back until more arrives."""
    answers: asyncio.Queue[str] = asyncio.Queue()

    async def documents() -> AsyncIterator[SourceDocument]:
        for i in range(5):
            yield SourceDocument(f"n{i}", b'{"text": "one by one"}')
            assert await answers.get() == f"n{i}"

    async for result in fed.client.index_documents("cars", documents()):
        answers.put_nowait(result.id)
    assert answers.empty()


async def test_a_feed_that_ends_by_its_deadline_is_told_of_each_document(
    server: RunningServer, model: FakeModel
) -> None:
    await server.client.setup_index("cars", IndexOptions())
    model.gate.clear()

    async def requests() -> AsyncIterator[index_pb2.IndexDocumentsRequest]:
        yield index_pb2.IndexDocumentsRequest(target=index_pb2.IndexTarget(index="cars"))
        for n in range(3):
            document = index_pb2.SourceDocument(id=str(n), source_json=b'{"title": "red", "text": "car"}')
            yield index_pb2.IndexDocumentsRequest(document=document)

    async with grpc.aio.insecure_channel(server.address) as channel:
        feed = index_pb2_grpc.IndexServiceStub(channel).IndexDocuments(requests(), timeout=2.0)
        answers = [answer async for answer in feed]
    assert [from_status(answer.item.status).code for answer in answers] == [Code.DEADLINE_EXCEEDED] * 3
