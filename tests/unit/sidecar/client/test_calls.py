"""What a client says of a sidecar that is silent or absent."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from sidecar.client.client import Client
from sidecar.errors import ChercheError, Code
from sidecar.values.documents import SourceDocument
from sidecar.values.search import SearchRequest


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
    async with Client(address, timeout=60) as client:
        with pytest.raises(ChercheError) as caught:
            await client.list_models()
    assert caught.value.code is Code.UNAVAILABLE
    assert caught.value.next_step == "start one with: cherche serve"
