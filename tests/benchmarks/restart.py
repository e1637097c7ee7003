"""A rolling restart of three sidecars under search load: ``python -m tests.benchmarks.prove restart``.

SciFact on one node, hybrid searches with rerank through one client that knows all sidecars. First the most they
answer, then 70 % of it as an open loop (a search is sent when it is due, however many are unanswered; its latency
counts from then): without a restart, during the restart of each, and without one again. A restart goes as a
Deployment with one surge does: the new sidecar first, then the old one gets SIGTERM. All share this machine's
processor, so a sidecar that starts yields to the others (niceness), as one on its own node would not take theirs.
Needs CHERCHE_TEST_DATA, and OPENSEARCH_URL or Maven and a JDK.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sidecar.client.client import Client
from sidecar.cluster import running_cluster
from sidecar.cluster.node import free_ports
from sidecar.errors import ChercheError
from sidecar.values.documents import SourceDocument
from sidecar.values.index import IndexOptions
from sidecar.values.search import SearchRequest
from tests.benchmarks.plugin import corpus, queries

INDEX = "restart"
SIDECARS, DOCUMENTS = 3, 400
SHARE = 0.7
CLOSED_SECONDS, STEADY_SECONDS = 10.0, 20.0
CONCURRENCY = 6
NICE = 19  # of a sidecar that starts
READY_SECONDS = 3.0  # as minReadySeconds: a client tries an address again after two


@dataclass
class Searches:
    """What became of searches, and when each was due."""

    due: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)

    def summary(self) -> dict[str, Any]:
        """Counts and milliseconds."""
        took = {f"p{q}_ms": round(float(np.percentile(self.seconds, q)) * 1000, 1) for q in (50, 95, 99)}
        worst = round(max(self.seconds) * 1000, 1)
        return {"searches": len(self.seconds), "outcomes": dict(self.outcomes), **took, "max_ms": worst}


class Sidecar:
    """A sidecar in a process of its own."""

    def __init__(self, url: str, port: int) -> None:
        self.address = f"127.0.0.1:{port}"
        # By nice(1): a preexec_fn would fork, and gRPC's threads of this process do not live through that.
        serve = [sys.executable, "-m", "sidecar.cli", "serve", "--url", url, "--port", str(port)]
        self._command = ["nice", "-n", str(NICE), *serve]
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> float:
        """Start it in the background of those that serve; seconds until it serves."""
        began = time.perf_counter()
        env = {**os.environ, "OMP_NUM_THREADS": "1", "CHERCHE_METRICS__PORT": "-1", "CHERCHE_LOG_LEVEL": "info"}
        self._process = await asyncio.create_subprocess_exec(*self._command, env=env, stderr=asyncio.subprocess.PIPE)
        await self._said("serving")
        _give_back(self._process.pid)
        self._draining = asyncio.create_task(self._said("stopped"))
        return time.perf_counter() - began

    async def leave(self) -> float:
        """Tell it to leave; seconds until it has."""
        assert self._process is not None
        began = time.perf_counter()
        self._process.terminate()
        await self._draining
        assert await self._process.wait() == 0
        return time.perf_counter() - began

    async def kill(self) -> None:
        """End it where it still runs."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await asyncio.gather(self._draining, return_exceptions=True)
            await self._process.wait()

    async def _said(self, event: str) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        line = b""
        async for line in self._process.stderr:
            if line.startswith(b"{") and json.loads(line)["event"] == event:
                return
        code = await self._process.wait()
        said = line.decode(errors="replace").strip()
        raise RuntimeError(
            f"the sidecar at {self.address} ended with {code} before it said {event!r}; its last: {said}"
        )


def _give_back(pid: int) -> None:
    """This process's niceness for all threads of another; takes root, without which it stays as it is."""
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            os.setpriority(os.PRIO_PROCESS, int(task.name), usual)
        except PermissionError:
            return


async def ask(client: Client, text: str, due: float, found: Searches) -> None:
    """One search; its latency counts from when it was due."""
    try:
        result = await client.search(SearchRequest(INDEX, text, rerank=True))
        outcome = str(result.rerank.status)
    except ChercheError as error:
        outcome = f"FAILED {error.code.value}: {error.reason}"
    found.due.append(due)
    found.seconds.append(time.perf_counter() - due)
    found.outcomes[outcome] += 1


async def most(client: Client, texts: Sequence[str], seconds: float) -> float:
    """Searches a second of a closed loop."""
    found = Searches()
    end = time.perf_counter() + seconds

    async def worker(start: int) -> None:
        place = start
        while time.perf_counter() < end:
            await ask(client, texts[place % len(texts)], time.perf_counter(), found)
            place += CONCURRENCY

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for start in range(CONCURRENCY):
            group.create_task(worker(start))
    return len(found.seconds) / (time.perf_counter() - began)


async def open_loop(client: Client, texts: Sequence[str], rate: float, is_over: Callable[[], bool]) -> Searches:
    """Searches at random times, `rate` a second, until `is_over`; all are waited for."""
    found, rng = Searches(), random.Random(3)
    due, place = time.perf_counter(), 0
    async with asyncio.TaskGroup() as group:
        while not is_over():
            due += rng.expovariate(rate)
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(ask(client, texts[place % len(texts)], due, found))
            place += 1
    return found


async def steady(client: Client, texts: Sequence[str], rate: float) -> Searches:
    """The load alone."""
    end = time.perf_counter() + STEADY_SECONDS
    return await open_loop(client, texts, rate, lambda: time.perf_counter() >= end)


async def rolled(
    client: Client, texts: Sequence[str], rate: float, fleet: list[Sidecar]
) -> tuple[Searches, list[dict[str, float]]]:
    """The load while every sidecar is replaced: a new one at the spare address, then the old one leaves."""
    log: list[dict[str, float]] = []

    async def replace_all() -> None:
        *serving, free = fleet
        for old in serving:
            started = await free.start()
            await asyncio.sleep(READY_SECONDS)
            left = await old.leave()
            log.append({"seconds_to_serve": round(started, 1), "seconds_to_leave": round(left, 1)})
            free = old

    replacing = asyncio.create_task(replace_all())
    found = await open_loop(client, texts, rate, replacing.done)
    await replacing
    return found, log


@asynccontextmanager
async def sidecars(url: str) -> AsyncIterator[list[Sidecar]]:
    """Those that serve, and last one at a spare address that does not yet."""
    fleet = [Sidecar(url, port) for port in free_ports(SIDECARS + 1)]
    async with AsyncExitStack() as stack:
        for each in fleet:
            stack.push_async_callback(each.kill)
        for each in fleet[:-1]:
            await each.start()
        yield fleet


def note(text: str) -> None:
    """Say what goes on."""
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)


async def fed(client: Client) -> None:
    """Fill the index."""

    async def stream() -> AsyncIterator[SourceDocument]:
        for id, raw in corpus(DOCUMENTS):
            yield SourceDocument(id, raw)

    await client.setup_index(INDEX, IndexOptions())
    async for result in client.index_documents(INDEX, stream()):
        if result.error is not None:
            raise result.error


async def measured(url: str) -> dict[str, Any]:
    """All figures."""
    texts = queries()
    async with sidecars(url) as fleet, Client(",".join(each.address for each in fleet)) as client:
        note("feeding")
        await fed(client)
        note("measuring what they answer at most")
        await most(client, texts, CLOSED_SECONDS / 2)
        capacity = await most(client, texts, CLOSED_SECONDS)
        rate = SHARE * capacity
        note(f"{rate:.1f} searches a second without a restart")
        before = await steady(client, texts, rate)
        note("restarting each")
        during, log = await rolled(client, texts, rate, fleet)
        after = await steady(client, texts, rate)
    quiet = Searches(before.due + after.due, before.seconds + after.seconds, before.outcomes + after.outcomes)
    p99 = quiet.summary()["p99_ms"]
    return {
        "sidecars": SIDECARS,
        "documents": DOCUMENTS,
        "searches_per_second_at_most": round(capacity, 1),
        "searches_per_second": round(rate, 1),
        "without_restart": quiet.summary(),
        "during_restart": during.summary(),
        "restarts": log,
        "failed_searches": sum(count for what, count in during.outcomes.items() if what.startswith("FAILED")),
        "p99_ratio": round(during.summary()["p99_ms"] / p99, 2),
        "load_average_after": [round(load, 2) for load in os.getloadavg()],
    }


def measure() -> dict[str, Any]:
    """Section ``restart`` of the proofs."""
    url = os.environ.get("OPENSEARCH_URL")
    with nullcontext([url]) if url else running_cluster(heap="768m") as urls:
        return asyncio.run(measured(urls[0]))
