"""A sidecar in a process of its own, on the embedded engine, which benchmarks kill, suspend and measure."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from sidecar.client.client import Client
from sidecar.cluster.node import free_ports
from sidecar.config import Tls
from sidecar.errors import ChercheError

START = 300.0
"""Seconds that one gets to load its model: a busy machine needs minutes."""
PATIENCE = 10.0
"""Seconds after which a silent sidecar is given up."""

# A whole sidecar in a process of its own; only the model is a fake, slow enough that it is caught at work.
PROGRAM = """
import sidecar.models.library
from sidecar.testing import FakeModel
sidecar.models.library.load_model = lambda *_, **__: FakeModel(name="cherche-small", latency=0.02)
from sidecar.cli import main
main()
"""


# The sidecar that ships, which on a signal says how many asyncio tasks it has.
WATCHED = """
import asyncio, os, signal
def say(*_):
    with open(os.environ["TASKS_FILE"], "w") as file:
        file.write(f"{len(asyncio.all_tasks())}\\n")
signal.signal(signal.SIGUSR2, say)
from sidecar.cli import main
main()
"""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a process holds: resident memory, its peak so far, descriptors, threads, asyncio tasks, seconds of CPU."""

    rss_mib: float
    peak_mib: float
    descriptors: int
    threads: int
    tasks: int
    cpu: float


class Process:
    """A sidecar on the embedded engine.

    Parameters
    ----------
    folder : Path
        Where its index lies.
    program : str
        `PROGRAM`, with a fake model, or `WATCHED`.
    variables : str
        Settings of its environment.
    """

    def __init__(self, folder: Path, program: str = PROGRAM, **variables: str) -> None:
        self._program = program
        self._tasks = folder / "tasks.txt"
        [self.port] = free_ports(1)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CHERCHE_")}
        self.environment = {
            **kept,
            **variables,
            "CHERCHE_EMBEDDED__PATH": str(folder / "index.sqlite"),
            "CHERCHE_METRICS__PORT": "-1",
            "CHERCHE_PORT": str(self.port),
            "TASKS_FILE": str(self._tasks),
        }
        self.path = folder / "index.sqlite"
        self.address = f"127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def cli(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a verb against the sidecar."""
        line = [sys.executable, "-c", self._program, *arguments, "--server", self.address, "--json"]
        environment = {**self.environment, "CHERCHE_LIMITS__DEADLINE": str(PATIENCE), **variables}
        return subprocess.run(line, env=environment, capture_output=True, text=True, check=False)

    def begin(self) -> None:
        """Start it."""
        self._process = subprocess.Popen(
            [sys.executable, "-c", self._program, "serve"], env=self.environment, stderr=subprocess.DEVNULL
        )

    async def start(self, tls: Tls | None = None) -> None:
        """Start it, and wait until it serves; `tls` is what a client needs."""
        self.begin()
        token = self.environment.get("CHERCHE_TOKEN", "")
        async with asyncio.timeout(START), Client(self.address, token=token, timeout=2.0, tls=tls) as client:
            while not await _serving(client):  # noqa: ASYNC110  # another process
                await asyncio.sleep(0.1)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        os.kill(self._process.pid, number)

    @property
    def pid(self) -> int:
        """Its id."""
        assert self._process is not None
        return self._process.pid

    def status(self, name: str) -> int:
        """A number of ``/proc/PID/status``, such as VmRSS in KiB."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))

    def forget_peak(self) -> None:
        """Let VmHWM, the peak of the resident memory, begin at what is resident now."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def cpu(self) -> float:
        """Seconds of CPU so far, of all its threads."""
        return cpu_of(self.pid)

    async def reading(self) -> Reading:
        """What it holds now; for `WATCHED`."""
        self._tasks.unlink(missing_ok=True)
        self.signal(signal.SIGUSR2)
        async with asyncio.timeout(60):
            while not (self._tasks.is_file() and self._tasks.read_text().endswith("\n")):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        descriptors = len(os.listdir(f"/proc/{self.pid}/fd"))
        rss, peak = self.status("VmRSS") / 1024, self.status("VmHWM") / 1024
        tasks = int(self._tasks.read_text())
        return Reading(round(rss, 1), round(peak, 1), descriptors, self.status("Threads"), tasks, self.cpu())

    def kill(self) -> None:
        """End it without notice."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def cpu_of(pid: int) -> float:
    """Seconds of CPU that a process has had, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _serving(client: Client) -> bool:
    try:
        return await client.is_serving()
    except ChercheError:
        return False
