"""Twice as many calls as a sidecar can answer, and minutes of odd callers: ``make prove SECTION=overload``.

A sidecar of its own with the shipped small model and the embedded engine. Mixed calls (searches with rerank, documents
to encode, feeds) first come one by one, then as fast as they are answered, which is its capacity, then at twice that
rate by a Poisson process whether or not they are answered (open loop). Then callers come and go; see `soak`.

``OVERLOAD_SECONDS`` and ``SOAK_SECONDS`` shorten either part, 0 leaves it out; ``STRANGERS`` likewise, see `strangers`.
``OVERLOAD_MODEL`` is another model, or ``paced``: a fake that needs no processor, so that what a busy machine shows is
of the queues. The load comes from this process, on the same cores.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from sidecar.client.client import Client
from sidecar.errors import ChercheError, Code
from sidecar.pb.cherche.v1 import common_pb2, encoder_pb2, encoder_pb2_grpc, index_pb2, index_pb2_grpc, search_pb2_grpc
from sidecar.values.documents import SourceDocument
from sidecar.values.index import IndexOptions
from sidecar.values.search import SearchRequest
from sidecar.wire.search import request_to_pb
from sidecar.wire.status import from_status, to_code
from tests.benchmarks import soak, strangers
from tests.benchmarks.process import WATCHED, Process

SECONDS = 60.0
SOAK = 600.0
DOCUMENTS = 400
INDEX, FED = "articles", "fed"
MIX = {"search": 0.7, "encode": 0.2, "feed": 0.1}
DEADLINES = {"search": 5.0, "encode": 20.0, "feed": 20.0}
PROBE = 0.1
QUIET = 15.0
WORDS = (
    *("river", "stone", "market", "engine", "winter", "garden", "doctor", "letter", "bridge", "copper", "island"),
    *("mirror", "sailor", "window", "basket", "candle", "harvest", "ladder", "needle", "orchard", "pepper", "quarry"),
)
PACED = f"""
import time, torch
import sidecar.models.library
from sidecar.testing import FakeModel

class Paced(FakeModel):
    def encode(self, tokens, kind):
        time.sleep(0.004 + sum(map(len, tokens)) / 2000)
        return super().encode(tokens, kind)

sidecar.models.library.load_model = lambda *_, **__: Paced(name="cherche-small")
{WATCHED}
"""
RATIO_GOAL, RECOVERY_GOAL, HEALTH_GOAL = 3.0, 1.0, 0.1
BESIDE_GOALS = {"p50": 2.0, "p99": 3.0}


def text(seed: int, words: int) -> str:
    """Words that are the same for a seed."""
    return " ".join(random.Random(seed).choices(WORDS, k=words))


@dataclass(slots=True)
class Calls:
    """What became of the calls of one kind."""

    answered: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)
    untyped: int = 0
    promised: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """Counts, and milliseconds of those that were answered and refused."""
        return {
            "calls": self.codes.total(),
            "codes": dict(self.codes),
            "answered_ms": percentiles(self.answered),
            "refused_ms": percentiles(self.refused),
            "refusals_without_retry_info": self.untyped,
            "promised_wait_s": percentiles([one / 1000 for one in self.promised]),
        }


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Of seconds, in thousandths."""
    if not seconds:
        return {}
    return {f"p{p}": round(float(np.percentile(seconds, p)) * 1000, 1) for p in (50, 99)}


class Load:
    """Calls of each kind over one channel, none of them repeated."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._search = search_pb2_grpc.SearchServiceStub(channel)  # type: ignore[no-untyped-call]
        self._encoder = encoder_pb2_grpc.EncoderServiceStub(channel)  # type: ignore[no-untyped-call]
        self._index = index_pb2_grpc.IndexServiceStub(channel)  # type: ignore[no-untyped-call]
        self._health = health_pb2_grpc.HealthStub(channel)
        self.seen: dict[str, Calls] = {kind: Calls() for kind in MIX}
        self._number = 0

    def forget(self) -> dict[str, Calls]:
        """Give what was seen, and begin anew."""
        seen, self.seen = self.seen, {kind: Calls() for kind in MIX}
        return seen

    async def search(self, number: int, timeout: float) -> None:
        request = request_to_pb(SearchRequest(INDEX, text(number, 4), rerank=True, size=10))
        await self._search.Search(request, timeout=timeout)

    async def encode(self, number: int, timeout: float) -> None:
        items = [common_pb2.TextItem(id=str(n), text=text(number * 8 + n, 80)) for n in range(8)]
        await self._encoder.EncodeDocuments(encoder_pb2.EncodeDocumentsRequest(items=items), timeout=timeout)

    async def feed(self, number: int, timeout: float) -> None:
        async def requests() -> Any:
            yield index_pb2.IndexDocumentsRequest(target=index_pb2.IndexTarget(index=INDEX))
            for n in range(8):
                body = f'{{"text": "{text(number * 8 + n, 80)}"}}'.encode()
                document = index_pb2.SourceDocument(id=f"x{number % 50}-{n}", source_json=body)
                yield index_pb2.IndexDocumentsRequest(document=document)

        answers = [one async for one in self._index.IndexDocuments(requests(), timeout=timeout)]
        for answer in answers:
            if answer.item.HasField("status"):
                raise from_status(answer.item.status)

    async def call(self, kind: str) -> float:
        """One call, and what became of it; the seconds that it took."""
        self._number += 1
        calls: Calls = self.seen[kind]
        work: Callable[[int, float], Awaitable[None]] = getattr(self, kind)
        started = time.perf_counter()
        try:
            await work(self._number, DEADLINES[kind])
        except (grpc.aio.AioRpcError, ChercheError) as error:
            taken = time.perf_counter() - started
            typed = error if isinstance(error, ChercheError) else typed_error(error)
            calls.codes[typed.code.value] += 1
            if typed.code is Code.RESOURCE_EXHAUSTED:
                calls.refused.append(taken)
                calls.promised += [] if typed.retry_after is None else [typed.retry_after]
                calls.untyped += typed.retry_after is None
            return taken
        taken = time.perf_counter() - started
        calls.codes["OK"] += 1
        calls.answered.append(taken)
        return taken

    async def healthy(self) -> float:
        """Seconds of a health check."""
        started = time.perf_counter()
        await self._health.Check(health_pb2.HealthCheckRequest(), timeout=30)
        return time.perf_counter() - started


def typed_error(error: grpc.aio.AioRpcError) -> ChercheError:
    """What a call ended with."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    return from_status(status) if status else ChercheError(to_code(error.code().name), error.details() or "")


async def quiet(load: Load, seconds: float) -> dict[str, Any]:
    """Searches one by one, with a pause between them."""
    load.forget()
    ended = time.monotonic() + seconds
    while time.monotonic() < ended:
        await load.call("search")
        await asyncio.sleep(0.05)
    return load.forget()["search"].figures()


async def beside_feeds(address: str, load: Load, seconds: float, feeds: int = 2) -> dict[str, Any]:
    """Documents a second that feeds get alone, then beside searches one by one, and what those searches take."""
    done, ended = 0, asyncio.Event()

    async def documents(name: str) -> AsyncIterator[SourceDocument]:
        number = 0
        while not ended.is_set():
            number += 1
            # Of a text that is new each time, or nothing would be encoded.
            body = f'{{"text": "{text(number, 80)} {name} {number}"}}'.encode()
            yield SourceDocument(f"{name}{number % 100}-{number // 100}", body)

    async def feed(name: str) -> None:
        nonlocal done
        async with Client(address, timeout=300.0) as client:
            async for result in client.index_documents(FED, documents(name), refresh=False):
                done += result.error is None

    async with Client(address, timeout=300.0) as client:
        await client.setup_index(FED, IndexOptions())
    running = [asyncio.create_task(feed(name)) for name in "uvwxyz"[:feeds]]
    await asyncio.sleep(5.0)
    paces = []
    for searching in (False, True):
        before, started = done, time.monotonic()
        searches = await quiet(load, seconds) if searching else await asyncio.sleep(seconds, {})
        paces.append((done - before) / (time.monotonic() - started))
    ended.set()
    await asyncio.gather(*running)
    return {
        "feeds": feeds,
        "documents_per_second_alone": round(paces[0], 1),
        "documents_per_second_beside_searches": round(paces[1], 1),
        "searches": searches,
    }


async def capacity(load: Load, seconds: float, callers: int = 8) -> float:
    """Calls a second, of the mix, as fast as they are answered."""
    load.forget()
    draw = random.Random(1)
    ended = time.monotonic() + seconds

    async def caller() -> None:
        while time.monotonic() < ended:
            await load.call(draw.choices(list(MIX), list(MIX.values()))[0])

    started = time.monotonic()
    await asyncio.gather(*(caller() for _ in range(callers)))
    taken = time.monotonic() - started
    return sum(calls.codes["OK"] for calls in load.forget().values()) / taken


async def flood(load: Load, rate: float, seconds: float) -> list[asyncio.Task[float]]:
    """Calls at a rate, whether or not those before are answered; those that are still in progress."""
    draw = random.Random(2)
    tasks: set[asyncio.Task[float]] = set()
    due, ended = time.monotonic(), time.monotonic() + seconds
    while due < ended:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        task = asyncio.create_task(load.call(draw.choices(list(MIX), list(MIX.values()))[0]))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        due += draw.expovariate(rate)
    return list(tasks)


async def watch(load: Load, process: Process, probes: list[float], memory: list[float]) -> None:
    """Probe health and read the memory until cancelled."""
    while True:
        probes.append(await load.healthy())
        memory.append(process.status("VmRSS") / 1024)
        await asyncio.sleep(PROBE)


async def recovery(load: Load, bound: float) -> float:
    """Seconds until a search takes no more than `bound` again."""
    started = time.monotonic()
    while True:
        at = time.monotonic()
        taken = await load.call("search")
        if taken <= bound or time.monotonic() - started > 60:
            return at - started


async def overload(process: Process, seconds: float) -> dict[str, Any]:
    """All phases, and which goals they met."""
    async with Client(process.address, timeout=300.0) as client:
        await client.setup_index(INDEX, IndexOptions())

        async def documents() -> Any:
            for n in range(DOCUMENTS):
                yield SourceDocument(f"d{n}", f'{{"text": "{text(-n, 80)}"}}'.encode())

        assert not [one.error async for one in client.index_documents(INDEX, documents()) if one.error is not None]
    async with grpc.aio.insecure_channel(process.address) as channel:
        load = Load(channel)
        await quiet(load, 3.0)
        alone = await quiet(load, QUIET)
        fed = await beside_feeds(process.address, load, QUIET)
        rate = await capacity(load, QUIET)
        await asyncio.sleep(1.0)
        before = await process.reading()
        probes: list[float] = []
        memory: list[float] = []
        load.forget()
        watching = asyncio.create_task(watch(load, process, probes, memory))
        late = await flood(load, 2 * rate, seconds)
        seen = load.seen
        load.seen = {kind: Calls() for kind in MIX}
        recovered = await recovery(load, 2 * alone["answered_ms"]["p99"] / 1000)
        await asyncio.gather(*late)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        after = await process.reading()
    searches = seen["search"].figures()
    first, last = memory[: max(1, len(memory) // 4)], memory[-max(1, len(memory) // 4) :]
    ratio = searches["answered_ms"]["p99"] / alone["answered_ms"]["p99"] if searches["answered_ms"] else None
    beside = {p: round(fed["searches"]["answered_ms"][p] / alone["answered_ms"][p], 2) for p in ("p50", "p99")}
    goals = {
        f"beside two feeds at most {BESIDE_GOALS} times the quiet ones": all(
            beside[p] <= most for p, most in BESIDE_GOALS.items()
        ),
        f"p99 of accepted searches at most {RATIO_GOAL:g} times the quiet one": ratio is not None
        and ratio <= RATIO_GOAL,
        f"a search is as when quiet within {RECOVERY_GOAL:g} s": recovered <= RECOVERY_GOAL,
        f"health answers within {HEALTH_GOAL:g} s": max(probes) <= HEALTH_GOAL,
        "every refusal says when to come back": not any(calls.untyped for calls in seen.values()),
        "memory is flat": float(np.median(last)) <= float(np.median(first)) * 1.1 + 32,
    }
    return {
        "quiet searches": alone,
        "beside feeds": fed,
        "capacity, mixed calls a second": round(rate, 2),
        "offered, calls a second": round(2 * rate, 2),
        "seconds": seconds,
        "under load": {kind: calls.figures() for kind, calls in seen.items()},
        "beside feeds against quiet": beside,
        "p99 against quiet": ratio and round(ratio, 2),
        "recovery_s": round(recovered, 2),
        "health_ms": {**percentiles(probes), "worst": round(max(probes) * 1000, 1)},
        "memory_mib": {"before": before.rss_mib, "most": round(max(memory), 1), "after": after.rss_mib},
        "goals": goals,
    }


async def measured() -> dict[str, Any]:
    seconds = float(os.environ.get("OVERLOAD_SECONDS", SECONDS))
    soaking = float(os.environ.get("SOAK_SECONDS", SOAK))
    model = os.environ.get("OVERLOAD_MODEL", "")
    program, model = (PACED, "") if model == "paced" else (WATCHED, model)
    with tempfile.TemporaryDirectory() as folder:
        process = Process(Path(folder), program, **({"CHERCHE_MODELS": json.dumps({model: model})} if model else {}))
        try:
            await process.start()
            figures: dict[str, Any] = {"overload": await overload(process, seconds)} if seconds else {}
            if soaking:
                figures["soak"] = await soak.soak(process, soaking)
        finally:
            process.kill()
    return figures


def measure() -> dict[str, Any]:
    """The figures; an error without a kind, or something that is kept, stops the run."""
    figures = asyncio.run(measured())
    if int(os.environ.get("STRANGERS", strangers.CALLS)):
        figures["callers without the token"] = strangers.measure()
    codes = {code for kind in figures.get("overload", {}).get("under load", {}).values() for code in kind["codes"]}
    if odd := sorted(codes & {"INTERNAL", "UNKNOWN"}):
        raise SystemExit(f"calls ended with {', '.join(odd)}")
    if kept := figures.get("soak", {}).get("kept"):
        raise SystemExit(f"the sidecar kept {', '.join(kept)}: {figures['soak']}")
    return figures
