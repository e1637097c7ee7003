"""What callers without the token cost a sidecar: calls of 32 MiB, many at a time, while its health is asked.

    python -m tests.benchmarks.strangers

A part of ``make prove SECTION=overload``. ``STRANGERS`` is how many calls. The callers are a process of its own:
64 messages of 32 MiB take 2 GiB. The same calls also go to a server of grpcio alone, which has one handler that aborts
with the same status: what the library itself takes.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.benchmarks.process import PROGRAM, Process

CALLS = 1000
AT_ONCE = 64
BYTES = 32 << 20
METHOD = "/cherche.v1.EncoderService/EncodeDocuments"
PROBE, QUIET = 0.02, 5.0  # seconds
CPU_GOAL, MEMORY_GOAL, HEALTH_GOAL = 1.0, 64.0, 0.1  # milliseconds of CPU, MiB, seconds

CALLER = f"""
import asyncio, collections, json, sys
import grpc

async def main(address, calls, at_once):
    data, codes, left = b"\\x12\\x00" * {BYTES // 2}, collections.Counter(), iter(range(calls))
    async with grpc.aio.insecure_channel(address, options=[("grpc.max_send_message_length", -1)]) as channel:
        call = channel.unary_unary({METHOD!r})
        async def caller():
            for _ in left:
                try:
                    await call(data)
                except grpc.aio.AioRpcError as error:
                    codes[error.code().name] += 1
        await asyncio.gather(*(caller() for _ in range(at_once)))
    print(json.dumps(codes))

asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""

BARE = f"""
import asyncio, os
import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_status import rpc_status
from sidecar.services import unauthenticated
from sidecar.wire.status import to_status

class Refusing(grpc.GenericRpcHandler):
    def __init__(self):
        status = rpc_status.to_status(to_status(unauthenticated()))
        async def call(requests, context):
            await context.abort_with_status(status)
        self.handler = grpc.stream_unary_rpc_method_handler(call)

    def service(self, details):
        return self.handler if details.method == {METHOD!r} else None

async def main(port):
    server = grpc.aio.server(options=[("grpc.http2.bdp_probe", 0)])
    servicer = health.HealthServicer()
    await servicer.set("", 1)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_generic_rpc_handlers([Refusing()])
    server.add_insecure_port(f"127.0.0.1:{{port}}")
    await server.start()
    await server.wait_for_termination()

asyncio.run(main(os.environ["CHERCHE_PORT"]))
"""


async def probe(address: str, seconds: list[float]) -> None:
    """Ask for health until cancelled."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        while True:
            started = time.perf_counter()
            await stub.Check(health_pb2.HealthCheckRequest(), timeout=30)
            seconds.append(time.perf_counter() - started)
            await asyncio.sleep(PROBE)


async def call(address: str, calls: int, at_once: int) -> dict[str, int]:
    """Calls from a process of its own; how many ended with each code."""
    line = [sys.executable, "-c", CALLER, address, str(calls), str(at_once)]
    caller = await asyncio.create_subprocess_exec(*line, stdout=subprocess.PIPE)
    said, _ = await caller.communicate()
    found: dict[str, int] = json.loads(said)
    return found


async def measured(process: Process, calls: int) -> dict[str, Any]:
    """CPU and memory of the sidecar for each call; then the same calls again, and how long health takes meanwhile."""
    await call(process.address, AT_ONCE, AT_ONCE)  # arenas
    process.forget_peak()
    cpu, rss, started = process.cpu(), process.status("VmRSS"), time.perf_counter()
    codes = await call(process.address, calls, AT_ONCE)
    taken, each = time.perf_counter() - started, (process.cpu() - cpu) / calls * 1000
    grown = (process.status("VmHWM") - rss) / 1024
    probes: list[float] = []
    probing = asyncio.create_task(probe(process.address, probes))
    await asyncio.sleep(QUIET)
    quiet, probes[:] = list(probes), []
    await call(process.address, calls, AT_ONCE)
    probing.cancel()
    await asyncio.gather(probing, return_exceptions=True)
    return {
        "calls": calls,
        "codes": codes,
        "seconds": round(taken, 1),
        "cpu_ms_per_call": round(each, 3),
        "memory_grew_mib": round(grown, 1),
        "health_ms": {name: milliseconds(found) for name, found in (("quiet", quiet), ("meanwhile", probes))},
        "goals": {
            f"less than {CPU_GOAL:g} ms of CPU each": each < CPU_GOAL,
            f"less than {MEMORY_GOAL:g} MiB in all": grown < MEMORY_GOAL,
            f"health answers within {HEALTH_GOAL:g} s": max(probes) <= HEALTH_GOAL,
            "all are refused": codes == {"UNAUTHENTICATED": calls},
        },
    }


def milliseconds(seconds: list[float]) -> dict[str, float]:
    """The half, the last hundredth and the worst."""
    found = [float(np.percentile(seconds, p)) for p in (50, 99, 100)]
    return dict(zip(("p50", "p99", "worst"), (round(one * 1000, 1) for one in found), strict=True))


@asynccontextmanager
async def serving(program: str) -> AsyncIterator[Process]:
    """A sidecar that asks for a token, or another program, until the end of the block."""
    with tempfile.TemporaryDirectory() as folder:
        process = Process(Path(folder), program, CHERCHE_TOKEN="right")
        try:
            await process.start()
            yield process
        finally:
            process.kill()


async def both() -> dict[str, Any]:
    """The sidecar, and the library alone."""
    calls = int(os.environ.get("STRANGERS", CALLS))
    async with serving(PROGRAM) as process:
        ours = await measured(process, calls)
    async with serving(BARE) as process:
        bare = await measured(process, calls)
    return {"sidecar": ours, "grpcio alone, cpu_ms_per_call": bare["cpu_ms_per_call"]}


def measure() -> dict[str, Any]:
    """The figures; a call that was let in stops the run."""
    figures = asyncio.run(both())
    if set(figures["sidecar"]["codes"]) != {"UNAUTHENTICATED"}:
        raise SystemExit(f"calls without the token ended with {figures['sidecar']['codes']}")
    return figures


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
