"""A sidecar from its settings to its end: as a process, in this process, and drained."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.client.client import Client
from sidecar.config import Metrics, Settings
from sidecar.engines.embedded import EmbeddedEngine
from sidecar.errors import ChercheError, Code
from sidecar.models import threads
from sidecar.protocols import Engine
from sidecar.serve import in_process, running
from sidecar.testing import FakeModel
from sidecar.values.encoded import Text
from tests.integration.rpc.conftest import until

SCRIPT = """
import asyncio, sys
from sidecar import config
from sidecar.errors import ChercheError
from sidecar import serve
from sidecar.testing import FakeModel

def load(name, source):
    if source == "broken":
        raise FileNotFoundError("no such folder")
    return FakeModel()

serve._loader = lambda settings: load
flags = {"port": 0, "models": {"m": sys.argv[2]}, "metrics": {"port": 0}, "embedded": {"path": sys.argv[1]}}
try:
    asyncio.run(serve.serve(config.load(flags)))
except ChercheError as error:
    sys.exit(f"Error: {error}")
"""


async def started(path: Path, source: str = "m") -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", SCRIPT, str(path), source, cwd=path.parent, stderr=asyncio.subprocess.PIPE
    )


async def said(process: asyncio.subprocess.Process, event: str) -> dict[str, Any]:
    assert process.stderr is not None
    async with asyncio.timeout(60):
        async for line in process.stderr:
            record: dict[str, Any] = json.loads(line)
            if record["event"] == event:
                return record
    raise AssertionError(f"the process ended without saying {event!r}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains(tmp_path: Path, number: signal.Signals) -> None:
    process = await started(tmp_path / "index.sqlite")
    try:
        listening = await said(process, "listening")
        assert listening["metrics_port"] > 0
        await said(process, "serving")
        async with Client(listening["address"], timeout=60) as client:
            assert (await client.encode_queries([Text("my secret query", "my-id")])).items[0].weights
        call = await said(process, "call")
        assert (call["method"], call["code"]) == ("EncoderService/EncodeQueries", "OK")
        assert "secret" not in str(call)
        assert "my-id" not in str(call)
        process.send_signal(number)
        await said(process, "draining")
        await said(process, "stopped")
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_default_model_that_is_broken_ends_the_process(tmp_path: Path) -> None:
    process = await started(tmp_path / "index.sqlite", "broken")
    assert process.stderr is not None
    async with asyncio.timeout(60):
        output = (await process.stderr.read()).decode()
    assert await process.wait() == 1
    assert "Error: model 'm' could not be loaded: FileNotFoundError: no such folder" in output


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    engine = EmbeddedEngine(tmp_path / "index.sqlite")
    yield engine
    await engine.aclose()


async def test_a_default_model_that_fails_is_an_error(engine: Engine) -> None:
    def broken(name: str, source: str) -> FakeModel:
        raise FileNotFoundError(source)

    settings = Settings(port=0, models={"m": "nowhere"}, metrics=Metrics(port=-1))
    async with running(settings, engine=engine, loader=broken) as sidecar:
        with pytest.raises(ChercheError, match="nowhere") as caught:
            await sidecar.warm()
    assert caught.value.code is Code.FAILED_PRECONDITION


async def test_drain_lets_calls_end_and_refuses_new_ones(engine: Engine) -> None:
    model = FakeModel()
    settings = Settings(port=0, models={"m": "m"}, metrics=Metrics(port=-1), drain=60)
    context = running(settings, engine=engine, loader=lambda name, source: model)
    sidecar = await context.__aenter__()
    await sidecar.warm()
    async with Client(sidecar.address, timeout=60) as client:
        model.gate.clear()
        held = asyncio.create_task(client.encode_queries([Text("held")]))
        await until(lambda: model.waiting)
        stopping = asyncio.create_task(context.__aexit__(None, None, None))
        assert await refusal(sidecar.address) in (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED)
        assert not held.done()
        model.gate.set()
        assert (await held).items[0].weights
        await stopping


@pytest.mark.parametrize(("apart", "budget"), [(False, 1024), (True, 2048 * 3)])
async def test_a_batch_is_larger_where_no_query_waits_for_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, apart: bool, budget: int
) -> None:
    monkeypatch.setattr(threads, "cpus", lambda: 3)
    model = FakeModel(concurrent_queries=apart)
    settings = Settings(port=0, models={"m": "m"}, metrics=Metrics(port=-1))
    async with running(settings, engine=engine, loader=lambda name, source: model) as sidecar:
        await sidecar.warm()
        async with Client(sidecar.address, timeout=60) as client:
            await client.encode_documents([Text("word " * 100)] * 100)
    length = model.batches[-1][0]
    assert max(map(sum, model.batches)) == budget // length * length


async def refusal(address: str) -> Code:
    """The status of the first refused call."""
    async with asyncio.timeout(60), Client(address, timeout=0.5) as late:
        while True:
            try:
                await late.list_models()
            except ChercheError as error:
                return error.code


async def test_a_sidecar_in_this_process_is_for_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.serve._loader", lambda settings: lambda name, source: FakeModel())
    settings = Settings(embedded={"path": tmp_path / "index.sqlite"})  # type: ignore[arg-type]  # pydantic reads it
    async with in_process(settings) as client:
        assert client.address.startswith("127.0.0.1:")
        assert [model.name for model in await client.list_models()] == ["cherche-small"]
        async with Client(client.address, timeout=60) as other:
            with pytest.raises(ChercheError) as caught:
                await other.list_models()
    assert caught.value.code is Code.UNAUTHENTICATED


async def test_an_engine_without_an_address_is_refused() -> None:
    with pytest.raises(ChercheError, match="address of a cluster"):
        async with running(Settings(engine="opensearch", port=0)):
            pass
