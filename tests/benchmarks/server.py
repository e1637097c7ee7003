"""What the server adds to a call over the same call in process: ``python -m tests.benchmarks.server``.

Both ways encode one short query, with the same batcher in front of the same fake model that takes no
time, so that the difference is gRPC, conversion, interceptor and scheduling alone. A health check,
which does nothing, shows what gRPC itself takes on this machine now. Client and server are two
processes, or one with ``--same-process``; rounds of all ways alternate. Prints JSON, milliseconds and calls a
second, and keeps it in ``results/server.json``, by CPU.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from sidecar.client.client import Client
from sidecar.engines.embedded import EmbeddedEngine
from sidecar.models.batcher import Batcher
from sidecar.observe import logs
from sidecar.testing import FakeModel, running_server
from sidecar.values.encoded import Text
from tests.benchmarks.machine import keep, machine

TEXT = "how do i run a command and capture what it prints"
Call = Callable[[], Awaitable[Any]]


async def latencies(call: Call, concurrency: int, calls: int) -> tuple[list[float], float]:
    """Seconds of each call, and of all of them."""
    taken: list[float] = []

    async def worker(count: int) -> None:
        for _ in range(count):
            started = time.perf_counter()
            await call()
            taken.append(time.perf_counter() - started)

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(worker(calls // concurrency))
    return taken, time.perf_counter() - started


def summary(rounds: list[tuple[list[float], float]]) -> dict[str, float]:
    """Median over rounds of the percentiles of each."""
    p50, p99 = (float(np.median([np.percentile(taken, p) for taken, _ in rounds])) * 1000 for p in (50, 99))
    rate = float(np.median([len(taken) / seconds for taken, seconds in rounds]))
    return {"p50_ms": round(p50, 3), "p99_ms": round(p99, 3), "calls_per_second": round(rate)}


async def compare(client: Client, concurrency: int, calls: int, rounds: int) -> dict[str, Any]:
    batcher = Batcher(FakeModel())

    async def over_grpc() -> None:
        await client.encode_queries([Text(TEXT)], outputs=["term_weights"])

    async def in_process() -> None:
        await batcher.encode([TEXT], "query", lane="query")

    ways: dict[str, Call] = {"grpc": over_grpc, "in_process": in_process, "health_check": client.is_serving}
    measured: dict[str, list[tuple[list[float], float]]] = {name: [] for name in ways}
    for way in ways.values():
        await latencies(way, concurrency, calls // 4)
    for _ in range(rounds):
        for name, way in ways.items():
            measured[name].append(await latencies(way, concurrency, calls))
    await batcher.aclose()
    result: dict[str, Any] = {name: summary(taken) for name, taken in measured.items()}
    result["added_p50_ms"] = round(result["grpc"]["p50_ms"] - result["in_process"]["p50_ms"], 3)
    return result


@asynccontextmanager
async def served(same_process: bool) -> AsyncIterator[Client]:
    """A client of a sidecar here, or of one in a process of its own."""
    if same_process:
        with TemporaryDirectory() as folder:
            async with running_server(EmbeddedEngine(Path(folder) / "index.sqlite")) as server:
                yield server.client
        return
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.server", "--serve", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        address = (await process.stdout.readline()).decode().strip()
        async with Client(address) as client:
            yield client
    finally:
        process.terminate()
        await process.wait()


async def serve() -> None:
    """Print the address and serve until the process is ended."""
    with TemporaryDirectory() as folder:
        async with running_server(EmbeddedEngine(Path(folder) / "index.sqlite")) as server:
            print(server.address, flush=True)
            await asyncio.Event().wait()


async def measure(same_process: bool, calls: int, rounds: int) -> dict[str, Any]:
    command = " ".join(["python -m tests.benchmarks.server", *sys.argv[1:]])
    report: dict[str, Any] = {"command": command, "machine": machine(), "same_process": same_process}
    async with served(same_process) as client:
        for concurrency in (1, 8, 32):
            report[f"concurrency_{concurrency}"] = await compare(client, concurrency, calls, rounds)
    report["goal_met"] = report["concurrency_1"]["added_p50_ms"] <= 1.0
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--same-process", action="store_true", help="client and server share one event loop")
    parser.add_argument("--calls", type=int, default=960)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    logs.configure("error")
    if arguments.serve:
        asyncio.run(serve())
    else:
        print(keep("server", asyncio.run(measure(arguments.same_process, arguments.calls, arguments.rounds))))


if __name__ == "__main__":
    main()
