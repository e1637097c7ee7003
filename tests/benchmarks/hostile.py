"""Sidecars that answer as none may: with too much, with something else, without end, or not at all.

A search through the plugin must be answered all the same, by its deadline, and the node's heap must not hold what
comes: `tests/integration/plugin/test_hostile.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from sidecar.pb.cherche.v1 import plugin_pb2 as pb
from sidecar.pb.cherche.v1 import search_pb2

SERVICE = "cherche.v1.PluginService"
METHODS = ("PrepareQuery", "RerankHits")
HUGE = 16 << 20
SETTINGS = b"\0\0\0\4\0\0\0\0\0"
PING = b"\0\0\x08\6\0\0\0\0\0" + b"pingpong"
Answers = Callable[[str, bytes], AsyncIterator[bytes]]


async def _huge(method: str, request: bytes) -> AsyncIterator[bytes]:
    """An answer far beyond what one search needs."""
    yield _HUGE


async def _no_message(method: str, request: bytes) -> AsyncIterator[bytes]:
    """Bytes that are no message."""
    yield b"\xff" * 1000


async def _wrong(method: str, request: bytes) -> AsyncIterator[bytes]:
    """A message that says what cannot be."""
    yield _WRONG[method]


async def _empty(method: str, request: bytes) -> AsyncIterator[bytes]:
    """A message in which nothing is set."""
    yield b""


async def _endless(method: str, request: bytes) -> AsyncIterator[bytes]:
    """One answer after another, where one is expected."""
    while True:
        yield _WRONG[method]


async def _unended(method: str, request: bytes) -> AsyncIterator[bytes]:
    """An answer, and then a call that does not end."""
    yield _WRONG[method]
    await asyncio.Event().wait()


async def _silent(method: str, request: bytes) -> AsyncIterator[bytes]:
    """Nothing, for ever."""
    await asyncio.Event().wait()
    yield b""


_HUGE = pb.PrepareQueryResponse(warnings=["x" * HUGE]).SerializeToString()
_WRONG = {
    "PrepareQuery": pb.PrepareQueryResponse(
        clause_json=b'{"no_such_query": {}}',
        terms=3,
        embeddings=pb.QueryEmbeddings(data=b"\0\0\xc0\x7f" * 3, tokens=7, dim=1000),
    ).SerializeToString(),
    "RerankHits": pb.RerankHitsResponse(
        hits=[pb.RerankedHit(index=7, score=float("nan")), pb.RerankedHit(index=1 << 30, score=1.0)],
        outcome=search_pb2.RerankOutcome(status=99),  # type: ignore[arg-type]  # of no release
    ).SerializeToString(),
}
OVER_GRPC: dict[str, Answers] = {
    "huge": _huge,
    "no message": _no_message,
    "wrong": _wrong,
    "empty": _empty,
    "endless": _endless,
    "unended": _unended,
    "silent": _silent,
}


async def _accepts(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A connection that is taken, and no more."""
    while await reader.read(1 << 16):
        pass


async def _pings(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """HTTP/2 that is alive, drop by drop, and answers nothing."""
    writer.write(SETTINGS)
    while not writer.is_closing():
        writer.write(PING)
        await writer.drain()
        await asyncio.sleep(0.001)


async def _floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Bytes of no protocol, as fast as they are taken."""
    while not writer.is_closing():
        writer.write(b"\xff" * (1 << 16))
        await writer.drain()


RAW: dict[str, Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]] = {
    "accepts only": _accepts,
    "pings only": _pings,
    "floods": _floods,
}
WAYS = (*OVER_GRPC, *RAW)


@asynccontextmanager
async def hostile(way: str) -> AsyncIterator[str]:
    """Address of a sidecar that answers in one of `WAYS`."""
    serving = _over_grpc(OVER_GRPC[way]) if way in OVER_GRPC else _raw(way)
    async with serving as address:
        yield address


@asynccontextmanager
async def _over_grpc(answers: Answers) -> AsyncIterator[str]:
    server = grpc.aio.server()

    def handler(method: str) -> Any:  # grpc's
        async def answer(request: bytes, context: object) -> AsyncIterator[bytes]:
            async for one in answers(method, request):
                yield one

        return grpc.unary_stream_rpc_method_handler(answer)

    handlers = {method: handler(method) for method in METHODS}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    status = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(status, server)
    await status.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


@asynccontextmanager
async def _raw(way: str) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await RAW[way](reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        server.close_clients() if hasattr(server, "close_clients") else None
