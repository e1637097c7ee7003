"""The sidecar as a process: what it logs, and what signals do."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from sidecar.client.client import Client
from sidecar.values.encoded import Text

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
            told: dict[str, Any] = json.loads(line)
            if told["event"] == event:
                return told
    raise AssertionError(f"the process ended without saying {event!r}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains(tmp_path: Path, number: signal.Signals) -> None:
    process = await started(tmp_path / "index.sqlite")
    try:
        listening = await said(process, "listening")
        assert listening["metrics_port"] > 0
        await said(process, "serving")
        async with Client(listening["address"], timeout=10) as client:
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
