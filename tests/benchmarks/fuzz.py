"""Odd requests to every RPC and every route, with what they were answered: ``make prove SECTION=fuzz``.

The same as `tests/integration/rpc/test_fuzz.py`, with more requests: ``FUZZ_REQUESTS`` is how many, ``FUZZ_SEED`` where
they begin. What is found is printed with its seed, from which `tests.fuzz.request` and `body` make it again.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections import Counter
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
    figures: dict[str, Any] = asyncio.run(_measured(count, seed))
    if found := [one for part in figures.values() for one in part["found"]]:
        raise SystemExit(f"{len(found)} requests were answered as none may be, first: {found[0]}")
    return {"first seed": seed, **figures}


async def _measured(count: int, seed: int) -> dict[str, Any]:
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
