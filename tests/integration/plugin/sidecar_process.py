"""A sidecar in its own process, which tests may kill and suspend: ``python sidecar_process.py PORT LATENCY``."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sidecar.cluster.node import free_ports
from sidecar.config import Limits, Settings
from sidecar.engines.embedded import EmbeddedEngine
from sidecar.testing import FakeModel


@dataclass(slots=True)
class SidecarProcess:
    """The process; `address` stays the same after a restart."""

    port: int
    latency: float
    process: subprocess.Popen[str]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Suspend it: connections stay open, and no call gets a response."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def restart(self) -> None:
        self.process = _started(self.port, self.latency)


@contextmanager
def sidecar_process(latency: float = 0.0) -> Iterator[SidecarProcess]:
    """A sidecar with a fake model, killed at the end of the block."""
    [port] = free_ports(1)
    running = SidecarProcess(port, latency, _started(port, latency))
    try:
        yield running
    finally:
        running.kill()


def _started(port: int, latency: float) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, str(port), str(latency)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    process.stdout.close()
    assert line.strip() == "serving", line
    return process


async def _serve(port: int, latency: float, folder: Path) -> None:
    from sidecar import serve

    model = FakeModel(synonyms={"car": "automobile", "film": "movie"}, latency=latency)
    settings = Settings(limits=Limits(deadline=60.0))
    engine = EmbeddedEngine(folder / "index.sqlite")
    async with serve.running(
        settings.model_copy(
            update={
                "port": port,
                "models": {"fake": "fake"},
                "metrics": settings.metrics.model_copy(update={"port": -1}),
            }
        ),
        engine=engine,
        loader=lambda _, __: model,
    ) as running:
        await running.warm()
        sys.stdout.write("serving\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2]), Path(scratch)))
