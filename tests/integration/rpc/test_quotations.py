"""No answer, log line or metric repeats what a caller sent at its length, and none keeps the event loop busy."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
import structlog
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from google.rpc import status_pb2

from sidecar import config
from sidecar.engines.embedded import EmbeddedEngine
from sidecar.errors import MOST_SAID
from sidecar.models.registry import LONGEST_NAME
from sidecar.observe import logs
from sidecar.pb.cherche.v1 import index_pb2
from sidecar.testing import FakeModel, RunningServer, running_server
from sidecar.values.index import IndexOptions
from tests.fuzz import METHODS
from tests.integration.rpc.conftest import stream

LONG = 4 << 20
"""Characters: compared with known names, or looked through one by one, they took the event loop seconds."""
PATIENCE = 1.0
"""Seconds of the event loop's own thread between two probes at most; a comparison of `LONG` characters takes 1.3."""
LONGEST_LINE = 12_000
NOTES = {"warnings", "findings", "notes", "message", "reason"}
Way = tuple[FieldDescriptor, ...]


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What is logged meanwhile."""
    before, written = structlog.get_config(), io.StringIO()
    logs.configure("info", written)
    yield written
    structlog.configure(**before)


@pytest.fixture
async def quoting(tmp_path: Path, lines: io.StringIO) -> AsyncIterator[RunningServer]:
    """A sidecar with a fed index, whose callers may load models."""
    engine = EmbeddedEngine(tmp_path / "index.sqlite")
    settings = config.Settings(allow_load=True, gateway=config.Gateway(port=0), limits=config.Limits(deadline=20.0))
    async with running_server(engine, [FakeModel()], settings=settings) as server:
        await server.client.setup_index("articles", IndexOptions())
        documents = stream(("1", b'{"title": "red", "text": "car"}'))
        assert [one.outcome async for one in server.client.index_documents("articles", documents)] == ["encoded"]
        yield server
    await engine.aclose()


def ways(kind: Descriptor, before: Way = ()) -> Iterator[Way]:
    """Ways to each text, or JSON, of a message."""
    for field in kind.fields:
        if field.message_type is not None and len(before) < 4:
            yield from ways(field.message_type, (*before, field))
        elif field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
            yield (*before, field)


def request(method: MethodDescriptor, way: Way) -> bytes:
    """A request whose one text is very long, and is looked at: it names an index that is there."""
    made = GetMessageClass(method.input_type)()
    for name, usual in (("index", "articles"), ("query", "red car")):
        field = method.input_type.fields_by_name.get(name)
        if field is not None and field.type == FieldDescriptor.TYPE_STRING:
            setattr(made, name, usual)
    at: Any = made
    for field in way[:-1]:
        at = getattr(at, field.name)
        at = at.add() if field.is_repeated else at
        at.SetInParent()
    text = '{"%s": 1}' % ("x" * LONG) if way[-1].name.endswith("json") else "x" * LONG
    value: Any = text.encode() if way[-1].type == FieldDescriptor.TYPE_BYTES else text
    getattr(at, way[-1].name).append(value) if way[-1].is_repeated else setattr(at, way[-1].name, value)
    return bytes(made.SerializeToString())


async def said(channel: grpc.aio.Channel, method: MethodDescriptor, data: bytes) -> list[str]:
    """All that a call gets back: statuses of the call and of items, and its answers' own texts."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    answers = GetMessageClass(method.output_type).FromString
    # Of a feed the first message is its target.
    first = [index_pb2.IndexDocumentsRequest(target=index_pb2.IndexTarget(index="articles")).SerializeToString()]
    sent = [*(first if method.name == "IndexDocuments" else []), data]
    call = channel.stream_stream(path, response_deserializer=answers)(iter(sent), timeout=60.0)
    found: list[str] = []
    try:
        async for answer in call:
            found += statuses(answer)
    except grpc.aio.AioRpcError as error:
        found += [
            error.code().name,
            error.details() or "",
            *(str(value) for _, value in error.trailing_metadata() or ()),
        ]
    return found


def statuses(answer: Any) -> list[str]:
    """Messages of the statuses in an answer, and its warnings."""
    if isinstance(answer, status_pb2.Status):
        return [answer.message]
    found: list[str] = []
    for field, value in answer.ListFields():
        if field.name in NOTES:
            found += value if field.is_repeated else [value]
        if field.message_type is not None:
            for one in value if field.is_repeated else [value]:
                found += statuses(one)
    return found


@pytest.mark.parametrize("method", METHODS, ids=lambda method: str(method.full_name).removeprefix("cherche.v1."))
async def test_a_long_text_is_quoted_by_its_ends(
    quoting: RunningServer, lines: io.StringIO, method: MethodDescriptor
) -> None:
    slowest = 0.0
    async with grpc.aio.insecure_channel(quoting.address) as channel:
        for way in ways(method.input_type):
            name = ".".join(field.name for field in way)
            call = asyncio.ensure_future(said(channel, method, request(method, way)))
            while not call.done():
                started = time.thread_time()  # what a busy machine does meanwhile is no fault of the loop
                await quoting.client.is_serving()
                await asyncio.wait([call], timeout=0.02)
                slowest = max(slowest, time.thread_time() - started)
            answered = await call
            assert not {"INTERNAL", "UNKNOWN"} & set(answered), name
            # Trailing metadata holds the reason twice, and the next step.
            assert max(map(len, answered), default=0) < 8 * MOST_SAID, name
            assert slowest < PATIENCE, f"{name}: the loop was busy for {slowest:.1f} s"
    assert max(map(len, lines.getvalue().splitlines()), default=0) < LONGEST_LINE


async def test_a_name_that_is_loaded_is_bounded_too(quoting: RunningServer) -> None:
    """Names of models stay in lists, log lines and metrics for as long as the process lives."""
    registry = quoting.sidecar.registry
    with pytest.raises(Exception, match=f"the limit is {LONGEST_NAME:,}"):
        registry.start("x" * (LONGEST_NAME + 1), "somewhere")
    assert all(len(served.name) <= LONGEST_NAME for served in registry.list())


@pytest.mark.parametrize("text", ["x" * 300_000, "a word " * 40_000])
async def test_the_gateway_quotes_by_the_same_rule(quoting: RunningServer, lines: io.StringIO, text: str) -> None:
    url = quoting.sidecar.gateway_url
    async with aiohttp.ClientSession() as session:
        for path, body in (
            ("/v1/rerank", {"model": text, "query": "car", "documents": ["red car"]}),
            ("/v1/rerank", {text: 1, "query": "car", "documents": ["red car"]}),
            ("/opensearch/v1/sparse", {"input": ["car"], "model": text}),
            ("/page/api/search", {"index": text, "query": "car"}),
        ):
            async with session.post(url + path, json=body) as reply:
                answered = await reply.text()
            assert reply.status >= 400, (path, answered[:200])
            assert len(answered) < 4 * MOST_SAID, path
    assert max(map(len, lines.getvalue().splitlines()), default=0) < LONGEST_LINE
