"""Odd requests to every RPC and every route, with what they were answered: ``make prove SECTION=fuzz``.

The same as `tests/integration/rpc/test_fuzz.py`, with more requests: ``FUZZ_REQUESTS`` is how many, ``FUZZ_SEED`` where
they begin, ``FUZZ_PROCESSES`` in how many sidecars at once (one for each core). What is found is printed with its seed,
from which `tests.fuzz.request` and `body` make it again.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import grpc

from sidecar import config
from sidecar.engines.embedded import EmbeddedEngine
from sidecar.testing import FakeModel, running_server
from sidecar.values.index import IndexOptions
from tests.fuzz import Storm, http_storm, rpc_storm

REQUESTS = 20_000
SEED = 1


def measure() -> dict[str, Any]:
    """Run both storms; a failure stops the run."""
    count, seed = int(os.environ.get("FUZZ_REQUESTS", REQUESTS)), int(os.environ.get("FUZZ_SEED", SEED))
    processes = int(os.environ.get("FUZZ_PROCESSES", os.cpu_count() or 1))
    shares = [count // processes + (number < count % processes) for number in range(processes)]
    firsts = [seed + sum(shares[:number]) for number in range(processes)]
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        parts = list(pool.map(storms, shares, firsts))
    figures = {name: joined([part[name] for part in parts]) for name in parts[0]}
    if found := [one for part in figures.values() for one in part["found"]]:
        raise SystemExit(f"{len(found)} requests were answered as none may be, first: {found[0]}")
    return {"first seed": seed, "processes": processes, **figures}


def storms(count: int, seed: int) -> dict[str, dict[str, Any]]:
    """Figures of both, of one sidecar."""
    return asyncio.run(_measured(count, seed))


def joined(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Figures of several sidecars as one: counts are added, of the others the worst counts.

    >>> one = {"answers": {"OK": 2}, "found": [], "seconds": 1.5}
    >>> joined([one, {"answers": {"OK": 1, "NOT_FOUND": 1}, "found": [], "seconds": 2.0}])
    {'answers': {'NOT_FOUND': 1, 'OK': 3}, 'found': [], 'seconds': 2.0}
    """
    whole: dict[str, Any] = {}
    for name in parts[0]:
        values = [part[name] for part in parts]
        if name == "answers":
            whole[name] = dict(sorted(sum(map(Counter, values), Counter[str]()).items()))
        elif name in {"found", "requests"}:
            whole[name] = sum(values, type(values[0])())
        else:
            whole[name] = max(values)
    return whole


async def _measured(count: int, seed: int) -> dict[str, dict[str, Any]]:
    settings = config.Settings(gateway=config.Gateway(port=0), limits=config.Limits(deadline=5.0))
    with tempfile.TemporaryDirectory() as folder:
        engine = EmbeddedEngine(Path(folder) / "index.sqlite")
        try:
            async with running_server(engine, [FakeModel()], settings=settings) as server:
                await server.client.setup_index("articles", IndexOptions())
                started = time.monotonic()
                async with grpc.aio.insecure_channel(server.address) as channel:
                    rpcs = await rpc_storm(channel, seed, count, server.client.is_serving)
                middle = time.monotonic()
                bodies = await http_storm(server.sidecar.gateway_url, seed, count // 4, server.client.is_serving)
                ended = time.monotonic()
        finally:
            await engine.aclose()
    return {"RPCs": _figures(rpcs, middle - started), "gateway": _figures(bodies, ended - middle)}


def _figures(storm: Storm, seconds: float) -> dict[str, Any]:
    codes = Counter[str]()
    for (_, code), count in storm.answers.items():
        codes[code] += count
    return {
        "requests": codes.total(),
        "answers": dict(sorted(codes.items())),
        "methods or paths": len({name for name, _ in storm.answers}),
        "found": storm.found,
        "slowest health probe, s": round(storm.slowest_probe, 3),
        "peak memory rose by, MiB": storm.grown,
        "seconds": round(seconds, 1),
    }
