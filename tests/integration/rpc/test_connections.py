"""Connections to the gRPC port that do not speak, or have nothing to say: each ends, and they are capped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sidecar.config import Limits, Settings
from sidecar.protocols import Engine
from sidecar.rpc import server as module
from sidecar.testing import RunningServer, running_server
from sidecar.values.encoded import Text

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\0\0\0\4\0\0\0\0\0"  # an empty frame of this kind, with which a client begins
HALF_A_CALL = b"\0\0\x10\1\4\0\0\0\1"  # a frame that announces 16 bytes of headers, which never come
SHORT = 1.0
PATIENCE = 60.0
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def opened(server: RunningServer, count: int, first: bytes) -> AsyncIterator[list[Streams]]:
    """Connections that send some bytes, and no more."""
    host, _, port = server.address.rpartition(":")
    found = [await asyncio.open_connection(host, int(port)) for _ in range(count)]
    try:
        for _, writer in found:
            writer.write(first)
        yield found
    finally:
        for _, writer in found:
            writer.close()


async def ends(connection: Streams) -> bool:
    """Wait until the other side has closed a connection."""
    try:
        while await connection[0].read(1 << 16):
            pass
    except ConnectionResetError:
        pass
    return True


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(b"", id="silent"),
        pytest.param(PREFACE[:10], id="half a preface"),
        pytest.param(PREFACE, id="a preface"),
        pytest.param(PREFACE + SETTINGS, id="a preface and settings"),
        pytest.param(PREFACE + SETTINGS + HALF_A_CALL, id="half a call"),
        pytest.param(b"\x16\x03\1\2\0\1", id="half a TLS hello"),
        pytest.param(b"GET / HTTP/1.1\r\nhost: a\r\n", id="another protocol"),
    ],
)
async def test_a_connection_that_calls_nothing_is_closed(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, first: bytes
) -> None:
    monkeypatch.setattr(module, "HANDSHAKE_MS", round(SHORT * 1000))
    async with (
        running_server(engine, settings=Settings(limits=Limits(idle=SHORT))) as server,
        opened(server, 20, first) as connections,
        asyncio.timeout(PATIENCE),
    ):
        # Meanwhile others are answered.
        assert (await server.client.encode_queries([Text("car")])).items[0].weights
        assert all(await asyncio.gather(*map(ends, connections)))


async def test_connections_are_capped_and_a_place_is_given_back(engine: Engine) -> None:
    settings = Settings(limits=Limits(connections=4))
    async with running_server(engine, settings=settings) as server, asyncio.timeout(PATIENCE):
        assert await server.client.is_serving()
        async with opened(server, 20, PREFACE + SETTINGS) as connections:
            closed = [asyncio.create_task(ends(one)) for one in connections]
            while sum(map(asyncio.Task.done, closed)) < 17:  # noqa: ASYNC110  # the server's event is not ours
                await asyncio.sleep(0.01)
            # One that is open goes on; for another there is no place.
            assert await server.client.is_serving()
            assert not await is_greeted(server)
            assert sum(map(asyncio.Task.done, closed)) == 17
            for one in closed:
                one.cancel()
        while not await is_greeted(server):  # noqa: ASYNC110  # until the server has seen them go
            await asyncio.sleep(0.01)


async def is_greeted(server: RunningServer) -> bool:
    """Whether a new connection is answered with the server's own settings."""
    async with opened(server, 1, PREFACE + SETTINGS) as [(reader, _)]:
        try:
            return bool(await reader.read(1))
        except ConnectionResetError:
            return False


async def test_an_idle_client_calls_again_without_an_error(engine: Engine) -> None:
    async with running_server(engine, settings=Settings(limits=Limits(idle=0.3))) as server:
        for _ in range(3):
            assert (await server.client.encode_queries([Text("car")])).items[0].weights
            await asyncio.sleep(1.0)  # longer than a connection may be idle
