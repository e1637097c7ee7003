"""Several sidecars behind one client: all are used, and each can be restarted under load."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from sidecar.client import channel
from sidecar.client.client import Client
from sidecar.cluster.node import free_ports
from sidecar.testing import RunningServer
from sidecar.values.encoded import Text
from tests.integration.rpc.conftest import until

START = 120.0  # seconds: a process that starts while both cores are busy

SCRIPT = """
import asyncio, sys
from sidecar import config
from sidecar import serve
from sidecar.testing import FakeModel

serve._loader = lambda settings: lambda name, source: FakeModel(name)
name, port, path = sys.argv[1:]
flags = {"port": int(port), "models": {name: name}, "metrics": {"port": -1}, "embedded": {"path": path}, "notice": 0.5}
flags["drain"] = 3600  # longer than a test may take
asyncio.run(serve.serve(config.load(flags)))
"""


class Sidecar:
    """A sidecar in a process of its own, whose default model has its name."""

    def __init__(self, name: str, port: int, folder: Path) -> None:
        self.name, self.address = name, f"127.0.0.1:{port}"
        self._arguments = [sys.executable, "-c", SCRIPT, name, str(port), str(folder / f"{name}.sqlite")]
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self._stopped: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it, and read on after it serves: it logs each call, and one whose log is stuck answers nobody."""
        self._process = await asyncio.create_subprocess_exec(
            *self._arguments, cwd=self._folder, stderr=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(START):
            await self._said("serving")
        self._stopped = asyncio.create_task(self._said("stopped"))

    async def restart(self) -> None:
        """End it as a rolling update does, and start it again."""
        assert self._process is not None
        assert self._stopped is not None
        self._process.send_signal(signal.SIGTERM)
        await self._stopped
        assert await self._process.wait() == 0
        await self.start()

    async def kill(self) -> None:
        if self._process is not None:
            if self._process.returncode is None:
                self._process.kill()
            if self._stopped is not None:
                await asyncio.gather(self._stopped, return_exceptions=True)
            await self._process.communicate()

    async def _said(self, event: str) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            if json.loads(line)["event"] == event:
                return
        raise AssertionError(f"{self.name} ended without saying {event!r}")


@asynccontextmanager
async def sidecars(folder: Path) -> AsyncIterator[list[Sidecar]]:
    ports = free_ports(3)
    started = [Sidecar(name, port, folder) for name, port in zip("abc", ports, strict=True)]
    async with AsyncExitStack() as stack:
        async with asyncio.TaskGroup() as group:
            for each in started:
                stack.push_async_callback(each.kill)
                group.create_task(each.start())
        yield started


async def test_each_is_used_and_each_can_be_restarted_under_load(tmp_path: Path) -> None:
    async with sidecars(tmp_path) as three:
        async with Client(",".join(each.address for each in three), timeout=20) as client:
            answers: Counter[str] = Counter()
            stopping = asyncio.Event()

            async def ask() -> None:
                while not stopping.is_set():
                    answers[(await client.encode_queries([Text("text")])).model] += 1
                    await asyncio.sleep(0.005)

            async with asyncio.TaskGroup() as group:
                for _ in range(4):
                    group.create_task(ask())
                await until(lambda: len(answers) == 3)
                for each in three:
                    # Watching health and asking at once, a client holds nobody back from leaving.
                    await each.restart()
                    before = answers[each.name]
                    await until(lambda each=each, before=before: answers[each.name] > before)
                stopping.set()
        assert set(answers) == {"a", "b", "c"}


async def test_one_that_is_killed_is_left_out(tmp_path: Path) -> None:
    async with sidecars(tmp_path) as three, Client(",".join(each.address for each in three), timeout=20) as client:
        answered: set[str] = set()
        while len(answered) < 3:
            answered.add((await client.encode_queries([Text("text")])).model)
        await three[0].kill()
        after = [(await client.encode_queries([Text("text")])).model for _ in range(60)]
    assert set(after) == {"b", "c"}
    # Each try to reach the dead one begins the round anew, with either of the others.
    assert pytest.approx(30, abs=20) == after.count("b")


async def test_one_that_is_gone_is_tried_again_without_growing_pauses(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pauses between tries grow to a limit, however long it is gone: here to a tenth of a client's own."""
    longest = "grpc.max_reconnect_backoff_ms"
    own = dict(channel._BALANCED)
    assert own[longest] == 2000
    monkeypatch.setattr(channel, "_BALANCED", tuple({**own, longest: own[longest] // 10}.items()))
    tried = 0

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tried
        tried += 1
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as gone:
        addresses = f"{server.address},127.0.0.1:{gone.sockets[0].getsockname()[1]}"
        async with Client(addresses, timeout=60) as client:
            assert (await client.encode_queries([Text("text")])).model == "fake"
            await until(lambda: tried == 20)  # pauses that go on growing would take twenty minutes
