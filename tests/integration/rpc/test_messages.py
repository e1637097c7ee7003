"""What a call may cost before it is known to be allowed, and what one message may become."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from pydantic import SecretStr

from sidecar.client.client import Client
from sidecar.config import Limits, Settings
from sidecar.errors import ChercheError, Code
from sidecar.pb.cherche.v1 import (
    encoder_pb2,
    encoder_pb2_grpc,
    index_pb2,
    index_pb2_grpc,
    model_pb2_grpc,
    plugin_pb2,
    plugin_pb2_grpc,
    search_pb2,
    search_pb2_grpc,
)
from sidecar.protocols import Engine
from sidecar.testing import FakeModel, RunningServer, running_server
from sidecar.values.documents import SourceDocument
from sidecar.values.index import IndexOptions
from sidecar.wire.status import from_status
from tests.integration.rpc.conftest import occupied, until

ENCODE = "/cherche.v1.EncoderService/EncodeDocuments"
TOKEN = (("authorization", "Bearer s3cret"),)
EMPTY_ITEM = b"\x12\x00"

CHILD = """
import asyncio, pathlib, sys
from pydantic import SecretStr
from sidecar.config import Settings
from sidecar.engines.embedded import EmbeddedEngine
from sidecar.testing import running_server

async def main():
    engine = EmbeddedEngine(pathlib.Path(sys.argv[1]) / "index.sqlite")
    async with running_server(engine, settings=Settings(token=SecretStr("s3cret"))) as server:
        print(server.address, flush=True)
        await asyncio.to_thread(sys.stdin.read)
    await engine.aclose()

asyncio.run(main())
"""


@dataclass(frozen=True, slots=True)
class Process:
    """A sidecar in a process of its own, and what that has used."""

    address: str
    pid: int

    @property
    def cpu(self) -> float:
        """Seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    @property
    def peak(self) -> int:
        """Largest resident size so far, in MiB."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) >> 10 for line in lines if line.startswith("VmHWM"))


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc to see what a process uses")
    command = [sys.executable, "-c", CHILD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        yield Process(child.stdout.readline().strip(), child.pid)
        child.communicate()


async def refused(address: str, data: bytes, method: str = ENCODE, **options: Any) -> ChercheError:
    async with grpc.aio.insecure_channel(address, options=[("grpc.max_send_message_length", -1)]) as channel:
        call = channel.unary_unary(method)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(data, **options)
    status = rpc_status.from_call(caught.value)
    return from_status(status) if status else ChercheError(Code.INTERNAL, caught.value.details() or "")


async def test_a_call_without_the_token_is_not_read(process: Process) -> None:
    data = EMPTY_ITEM * (4 << 20)
    await refused(process.address, data)
    cpu, peak = process.cpu, process.peak
    for compression in (None, grpc.Compression.Gzip):
        errors = [await refused(process.address, data, compression=compression) for _ in range(8)]
        assert {error.code for error in errors} == {Code.UNAUTHENTICATED}
    # It took .5 s and 230 MiB each when messages were parsed first.
    assert process.peak - peak < 64
    assert (process.cpu - cpu) / 16 < 0.05


async def test_many_objects_in_one_message_are_not_made(process: Process) -> None:
    await refused(process.address, EMPTY_ITEM * 9999, metadata=TOKEN)
    peak = process.peak
    longest = 0.0

    async def probe() -> None:
        nonlocal longest
        async with grpc.aio.insecure_channel(process.address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            while True:
                started = time.perf_counter()
                await stub.Check(health_pb2.HealthCheckRequest())
                longest = max(longest, time.perf_counter() - started)
                await asyncio.sleep(0.01)

    probing = asyncio.create_task(probe())
    error = await refused(process.address, EMPTY_ITEM * (16 << 20), metadata=TOKEN)
    probing.cancel()
    assert error.code is Code.INVALID_ARGUMENT
    assert "more than 65,536 fields" in error.reason
    assert "CHERCHE_LIMITS__ITEMS" in error.next_step
    assert process.peak - peak < 3 * 64
    assert longest < 3.0  # 6 s before; a bound that holds on a busy machine


async def test_a_compressed_message_is_bounded_by_what_it_inflates_to(engine: Engine) -> None:
    limits = Limits(request_bytes=1 << 20)
    async with running_server(engine, settings=Settings(limits=limits)) as server:
        gzip: Any = {"compression": grpc.Compression.Gzip}
        error = await refused(server.address, b"\x0a\x80\x80\x80\x02" + bytes(4 << 20), **gzip)
        assert error.code is Code.INVALID_ARGUMENT
        assert "inflates to more than 1,048,576 bytes" in error.reason
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub = encoder_pb2_grpc.EncoderServiceStub(channel)
            request = encoder_pb2.EncodeQueriesRequest(items=[{"text": "word " * 1000}])
            assert len((await stub.EncodeQueries(request, **gzip)).items) == 1


@pytest.mark.parametrize("data", [b"\x1f\x8b" + bytes(30), b"\x1f\x8b\x08"], ids=["no gzip", "cut off"])
async def test_a_broken_compressed_message_says_so(server: RunningServer, data: bytes) -> None:
    error = await refused(server.address, data)
    assert error.code is Code.INVALID_ARGUMENT
    assert "compressed message" in error.reason


async def test_malformed_bytes_are_the_callers_fault_after_the_token(
    engine: Engine, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    async with running_server(engine, settings=Settings(token=SecretStr("s3cret"))) as server:
        assert (await refused(server.address, b"\xff\xff")).code is Code.UNAUTHENTICATED
        for data in (b"\xff\xff", b"\x12\x04\x0a\x02\xff\xfe"):  # no field; no UTF-8
            error = await refused(server.address, data, metadata=TOKEN)
            assert error.code is Code.INVALID_ARGUMENT
            assert "no cherche.v1.EncodeDocumentsRequest" in error.reason
            assert error.next_step
        async with grpc.aio.insecure_channel(server.address) as channel:
            call = channel.stream_stream("/cherche.v1.EncoderService/StreamDocuments")

            async def requests() -> AsyncIterator[bytes]:
                yield b"\xff"

            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await anext(aiter(call(requests(), metadata=TOKEN)))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not caplog.records, "one traceback per stream filled the log"
    assert "Traceback" not in capfd.readouterr().err


async def test_a_message_beyond_the_limit_says_what_to_do(engine: Engine) -> None:
    limits = Limits(request_bytes=1 << 16)
    async with (
        running_server(engine, settings=Settings(limits=limits)) as server,
        Client(server.address, timeout=60) as client,  # of other limits
    ):
        with pytest.raises(ChercheError) as caught:
            await client.get_model("x" * (1 << 17))
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert "the limit is 65,536" in caught.value.reason
    assert "CHERCHE_LIMITS__REQUEST_BYTES" in caught.value.next_step


async def test_calls_at_once_are_capped(engine: Engine, model: FakeModel) -> None:
    async with running_server(engine, [model], settings=Settings(limits=Limits(calls=1))) as server:
        blocker = await occupied(server, model)
        async with grpc.aio.insecure_channel(server.address) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await model_pb2_grpc.ModelServiceStub(channel).ListModels(encoder_pb2.Outputs())
            answered = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            assert answered.status == health_pb2.HealthCheckResponse.SERVING, "health is not counted"
        status = rpc_status.from_call(caught.value)
        assert status is not None
        error = from_status(status)
        assert (error.code, error.retry_after) == (Code.RESOURCE_EXHAUSTED, 1.0)
        model.gate.set()
        await blocker
        assert await server.client.list_models()


async def test_bytes_of_all_calls_together_are_capped(engine: Engine, model: FakeModel) -> None:
    limits = Limits(held_bytes=100_000, stream_in_flight=4)
    large = encoder_pb2.EncodeDocumentsRequest(items=[{"text": "word " * 12_000}]).SerializeToString()
    async with running_server(engine, [model], settings=Settings(limits=limits)) as server:
        await server.client.setup_index("cars", IndexOptions())
        model.gate.clear()
        async with grpc.aio.insecure_channel(server.address) as channel:
            first = asyncio.ensure_future(channel.unary_unary(ENCODE)(large))
            await until(lambda: model.waiting)
            for compression in (None, grpc.Compression.Gzip):
                error = await refused(server.address, large, compression=compression)
                assert (error.code, error.retry_after) == (Code.RESOURCE_EXHAUSTED, 1.0)
                assert "exceed 100,000" in error.reason
            model.gate.set()
            await first
            await channel.unary_unary(ENCODE)(large)
        # What a stream sent before, it holds no longer.
        body = b'{"text": "%s"}' % (b"word " * 4_000)
        results = [one async for one in server.client.index_documents("cars", sources(20, body))]
        assert [one.error for one in results] == [None] * 20
        # Nothing is left of what they held: beside a single other message this one would not fit.
        most = encoder_pb2.EncodeDocumentsRequest(items=[{"text": "word " * 19_990}]).SerializeToString()
        async with grpc.aio.insecure_channel(server.address) as channel:
            await channel.unary_unary(ENCODE)(most)


async def sources(count: int, body: bytes) -> AsyncIterator[SourceDocument]:
    for n in range(count):
        yield SourceDocument(str(n), body)


async def test_a_call_that_sends_nothing_is_told_so(server: RunningServer) -> None:
    async def nothing() -> AsyncIterator[bytes]:
        for message in ():
            yield message

    async with grpc.aio.insecure_channel(server.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError, match="ended before its request"):
            await channel.stream_unary(ENCODE)(nothing())


@pytest.mark.parametrize("index", ["\0", "a\nb", "\x7f"])
async def test_an_index_name_has_no_control_characters(server: RunningServer, index: str) -> None:
    async with grpc.aio.insecure_channel(server.address) as channel:
        indices, searches = index_pb2_grpc.IndexServiceStub(channel), search_pb2_grpc.SearchServiceStub(channel)
        for call, request in (
            (indices.SetupIndex, index_pb2.SetupIndexRequest(index=index)),
            (indices.GetIndex, index_pb2.GetIndexRequest(index=index)),
            (searches.Search, search_pb2.SearchRequest(index=index, text="a")),
        ):
            with pytest.raises(grpc.aio.AioRpcError, match="control character") as caught:
                await call(request)  # type: ignore[operator]  # a stub's method
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("depth", [900, 5000, 200_000])
async def test_json_that_is_too_deep_is_the_callers_fault(server: RunningServer, depth: int) -> None:
    await server.client.setup_index("cars", IndexOptions())
    deep = '{"a":' * depth + "1" + "}" * depth
    async with grpc.aio.insecure_channel(server.address) as channel:
        plugin, searches = plugin_pb2_grpc.PluginServiceStub(channel), search_pb2_grpc.SearchServiceStub(channel)
        for call, request in (
            (plugin.PrepareQuery, plugin_pb2.PrepareQueryRequest(meta_json=deep.encode(), text="a")),
            (searches.Search, search_pb2.SearchRequest(index="cars", text="a", body_json=f'{{"post_filter":{deep}}}')),
            (searches.Search, search_pb2.SearchRequest(index="cars", text="a", body_json=f'{{"query":{deep}}}')),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(request)  # type: ignore[operator]  # a stub's method
            assert caught.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION)
