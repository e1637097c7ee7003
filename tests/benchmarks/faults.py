"""What breaks, and what becomes of documents and searches then: ``make prove SECTION=faults``.

One row for each fault, on the embedded engine with a sidecar that is killed and suspended, and on the cluster's engine
against a cluster whose answers are tampered with. No row may lose a document that was acknowledged, and none may fail
without a kind. All of it runs on loopback, in about two minutes.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from opensearchpy.exceptions import ConnectionError as NoConnection
from opensearchpy.exceptions import TransportError

from sidecar.client.client import Client
from sidecar.cluster.node import free_ports
from sidecar.engines.embedded import EmbeddedEngine
from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.engines.opensearch.http import Http
from sidecar.errors import ChercheError, Code
from sidecar.testing import FakeModel, running_server
from sidecar.values.documents import SourceDocument, StoredDocument
from sidecar.values.index import Identity, IndexOptions
from sidecar.values.maintenance import BackfillOptions
from sidecar.values.search import SearchRequest

DOCUMENTS = 400
INDEX = "articles"
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


@dataclass(slots=True)
class Row:
    """What became of one fault.

    Attributes
    ----------
    fault : str
    sent, acknowledged, stored : int
        Documents; those stored are counted afterwards, by id.
    lost : int
        Acknowledged and not stored: must be 0.
    errors : list of str
        Kinds of the errors that callers saw; must hold no INTERNAL.
    exit_code : int or None
        Of the command line, where it was the caller.
    after : str
        What held once the fault was over.
    """

    fault: str
    sent: int = 0
    acknowledged: int = 0
    stored: int = 0
    lost: int = 0
    errors: list[str] = field(default_factory=list)
    exit_code: int | None = None
    after: str = ""

    def count(self, acknowledged: Iterable[str], stored: Iterable[str]) -> None:
        """Compare what callers were told with what is there."""
        told, there = set(acknowledged), set(stored)
        self.acknowledged, self.stored, self.lost = len(told), len(there), len(told - there)

    @property
    def is_sound(self) -> bool:
        """Whether nothing was lost, and every error has a kind that says whose it is."""
        return not self.lost and Code.INTERNAL.value not in self.errors


class Process:
    """A sidecar on the embedded engine, which rows kill and suspend."""

    def __init__(self, folder: Path, **variables: str) -> None:
        [self.port] = free_ports(1)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CHERCHE_")}
        self.environment = {
            **kept,
            **variables,
            "CHERCHE_EMBEDDED__PATH": str(folder / "index.sqlite"),
            "CHERCHE_METRICS__PORT": "-1",
            "CHERCHE_PORT": str(self.port),
        }
        self.path = folder / "index.sqlite"
        self.address = f"127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def cli(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a verb against the sidecar."""
        line = [sys.executable, "-c", PROGRAM, *arguments, "--server", self.address, "--json"]
        environment = {**self.environment, "CHERCHE_LIMITS__DEADLINE": str(PATIENCE), **variables}
        return subprocess.run(line, env=environment, capture_output=True, text=True, check=False)

    def begin(self) -> None:
        """Start it."""
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "serve"], env=self.environment, stderr=subprocess.DEVNULL
        )

    async def start(self) -> None:
        """Start it, and wait until it serves."""
        self.begin()
        token = self.environment.get("CHERCHE_TOKEN", "")
        async with asyncio.timeout(120), Client(self.address, token=token, timeout=2.0) as client:
            while not await _serving(client):  # noqa: ASYNC110  # another process
                await asyncio.sleep(0.1)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """End it without notice."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


async def _serving(client: Client) -> bool:
    try:
        return await client.is_serving()
    except ChercheError:
        return False


def documents(count: int = DOCUMENTS, first: int = 0) -> list[SourceDocument]:
    """Documents with ids of their own."""
    words = ("red", "car", "blue", "house", "river")
    texts = ((n, f"{words[n % 5]} {words[n % 3]} number{n}") for n in range(first, first + count))
    return [SourceDocument(f"d{n}", json.dumps({"title": text, "text": text}).encode()) for n, text in texts]


async def _arriving(sources: Sequence[SourceDocument]) -> AsyncIterator[SourceDocument]:
    for source in sources:
        yield source


async def feed(client: Client, sources: Sequence[SourceDocument], row: Row, seen: set[str]) -> None:
    """Feed, and note what was acknowledged and which errors came."""
    row.sent += len(sources)
    try:
        async for result in client.index_documents(INDEX, _arriving(sources)):
            if result.error is None:
                seen.add(result.id)
            else:
                row.errors.append(result.error.code.value)
    except ChercheError as error:
        row.errors.append(error.code.value)


async def there(path: Path) -> set[str]:
    """Ids that the file holds, encoded."""
    engine = EmbeddedEngine(path)
    try:
        return {document.id async for document in engine.scan(INDEX) if document.state == "ok"}
    finally:
        await engine.aclose()


async def during(folder: Path, fault: str, number: signal.Signals, work: str) -> Row:
    """A signal while a feed, a backfill or searches run; afterwards the same work is done to its end."""
    row, seen = Row(fault), set[str]()
    process = Process(folder)
    await process.start()
    try:
        async with Client(process.address, timeout=PATIENCE) as client:
            await client.setup_index(INDEX, IndexOptions())
            if work != "feed":
                await feed(client, documents(), row, seen)
            running = asyncio.create_task(_work(client, work, row, seen))
            deadline = time.monotonic() + 60
            while not running.done() and time.monotonic() < deadline and (work != "feed" or len(seen) < 20):
                await asyncio.sleep(0.05)
                if work != "feed":
                    break
            process.kill() if number is signal.SIGKILL else process.signal(number)
            await running
        if number is signal.SIGSTOP:
            process.signal(signal.SIGCONT)
        else:
            await process.start()
        row.count(seen, await there(process.path))
        async with Client(process.address, timeout=60.0) as client:
            again = Row(fault)
            await feed(client, documents(), again, seen)
            found = await client.search(SearchRequest(INDEX, "red car"))
            whole = seen == await there(process.path) and len(seen) == DOCUMENTS and not again.errors
            row.after = f"fed again: {'all' if whole else 'NOT ALL'} {DOCUMENTS} stored, search finds {found.total}"
            if not whole:
                row.lost += DOCUMENTS - len(seen) or 1
    finally:
        process.kill()
    return row


async def _work(client: Client, work: str, row: Row, seen: set[str]) -> None:
    if work == "feed":
        await feed(client, documents(), row, seen)
        return
    try:
        if work == "backfill":
            async for _ in client.backfill_index(INDEX, BackfillOptions()):
                pass
        else:
            await asyncio.gather(*(client.search(SearchRequest(INDEX, f"red car {n}")) for n in range(40)))
    except ChercheError as error:
        row.errors.append(error.code.value)


async def tokens(folder: Path) -> list[Row]:
    """The command line without a token, and with a wrong one."""
    process = Process(folder, CHERCHE_TOKEN="right")
    await process.start()
    rows = []
    try:
        for fault, token in (("no token", ""), ("a wrong token", "wrong")):
            done = await asyncio.to_thread(lambda t=token: process.cli("setup", INDEX, CHERCHE_TOKEN=t))
            row = Row(fault, exit_code=done.returncode)
            row.errors.append(json.loads(done.stderr.splitlines()[-1])["error"]["code"])
            # Asked with the right token, the index must not be there.
            asked = await asyncio.to_thread(lambda: process.cli("doctor", INDEX, CHERCHE_TOKEN="right"))
            row.after = "SET UP" if '"ok": true' in asked.stdout else "nothing was set up"
            rows.append(row)
    finally:
        process.kill()
    return rows


async def together(folder: Path) -> list[Row]:
    """Two feeds of one index, a feed while the index is removed, and a model that the index was not set up with."""
    rows = []
    engine = EmbeddedEngine(folder / "index.sqlite")
    model = FakeModel(latency=0.01)
    try:
        async with running_server(engine, [model]) as server:
            await server.client.setup_index(INDEX, IndexOptions())
            row, seen = Row("two feeds of one index, half of the ids the same"), set[str]()
            halves = (documents(300), documents(300, 150))
            await asyncio.gather(*(feed(server.client, half, row, seen) for half in halves))
            row.count(seen, {one.id async for one in engine.scan(INDEX) if one.state == "ok"})
            row.after = f"{row.stored} documents, each once"
            rows.append(row)

            row, seen = Row("a feed while the index is removed"), set[str]()
            feeding = asyncio.create_task(feed(server.client, documents(DOCUMENTS, 1000), row, seen))
            await asyncio.sleep(0.1)
            await server.client.remove_index(INDEX)
            await feeding
            await server.client.setup_index(INDEX, IndexOptions())
            # Removed with the index on purpose: what counts is that a feed afterwards is whole.
            seen = set()
            await feed(server.client, documents(50, 2000), row, seen)
            row.count(seen, {one.id async for one in engine.scan(INDEX) if one.state == "ok"})
            row.after = f"set up again, {len(seen)} of 50 stored"
            rows.append(row)
        other = FakeModel(name="other", dim=8)
        async with running_server(engine, [other]) as server:
            row, seen = Row("a model of another fingerprint"), set[str]()
            await feed(server.client, documents(10, 3000), row, seen)
            row.count(
                seen, {one.id async for one in engine.scan(INDEX) if one.id in {f"d{n}" for n in range(3000, 3010)}}
            )
            try:
                await server.client.search(SearchRequest(INDEX, "red car", mode="sparse"))
            except ChercheError as error:
                row.errors.append(error.code.value)
            row.after = "nothing is written, nothing is ranked by another model"
            rows.append(row)
    finally:
        await engine.aclose()
    return rows


class Tampered:
    """A cluster of one index that stores what it takes, and whose answers are changed on their way.

    Parameters
    ----------
    change : callable
        Makes of the items of a bulk what is answered; what it raises is raised.
    """

    def __init__(self, change: Callable[[list[Any], int], Any]) -> None:
        self.stored: set[str] = set()
        self._change, self.bulks = change, 0

    async def perform_request(self, method: str, url: str, *_: Any, body: Any = None, **__: Any) -> Any:
        """Answer as a cluster does, more or less."""
        if url == "/":
            return {"version": {"distribution": "opensearch", "number": "3.8.0"}}
        if "/_settings/index.uuid" in url:
            return {INDEX: {"settings": {"index.uuid": "u"}}}
        if not url.endswith("/_bulk"):
            return {INDEX: {"mappings": {}}} if method == "GET" else {"acknowledged": True}
        self.bulks += 1
        ids = [json.loads(line)["index"]["_id"] for line in body.decode().splitlines()[::2]]
        # Before anything is stored a refusal is raised, and after it a connection breaks.
        answered = self._change([{"index": {"_id": id, "status": 201}} for id in ids], self.bulks)
        if isinstance(answered, TransportError) and not isinstance(answered, NoConnection):
            raise answered
        refused = {one["index"]["_id"] for one in _items(answered) if "error" in one["index"]}
        self.stored |= set(ids) - refused
        if isinstance(answered, Exception):
            raise answered
        return answered

    async def close(self) -> None:
        """Nothing is open."""


def _items(answered: Any) -> list[Any]:
    found = answered.get("items") if isinstance(answered, dict) else None
    return [one for one in found or [] if isinstance(one, dict) and "index" in one]


def _refusal(status: int, kind: str, reason: str) -> TransportError:
    return TransportError(status, kind, {"error": {"type": kind, "reason": reason}, "status": status})


def _error(item: Any, status: int, kind: str, reason: str) -> Any:
    return {"index": {**item["index"], "status": status, "error": {"type": kind, "reason": reason}}}


BLOCK = "index [articles] blocked by: [FORBIDDEN/5/index read-only (api)];"
FLOOD = "index [articles] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, " + (
    "index has read-only-allow-delete block];"
)
BUSY = "rejected execution of primary operation"
TAMPERINGS: dict[str, Callable[[list[Any], int], Any]] = {
    "a read-only block": lambda items, _: {
        "items": [_error(one, 403, "cluster_block_exception", BLOCK) for one in items]
    },
    "the disk's flood stage": lambda items, _: {
        "items": [_error(one, 429, "cluster_block_exception", FLOOD) for one in items]
    },
    "429 twice, then none": lambda items, bulk: (
        _refusal(429, "rejected_execution_exception", BUSY) if bulk <= 2 else {"items": items}
    ),
    "429 for ever": lambda items, _: _refusal(429, "rejected_execution_exception", BUSY),
    "429 for half of the items, once": lambda items, bulk: {
        "items": [
            _error(one, 429, "rejected_execution_exception", BUSY) if bulk == 1 and place % 2 else one
            for place, one in enumerate(items)
        ]
    },
    "503": lambda items, _: _refusal(503, "cluster_manager_not_discovered_exception", "no cluster manager"),
    "a connection that breaks after the write": lambda items, _: NoConnection("N/A", "reset", OSError("reset")),
    "half an answer": lambda items, _: {"items": items[: len(items) // 2]},
    "a reordered answer": lambda items, _: {"items": random.Random(1).sample(items, len(items))},
    "a duplicated answer": lambda items, _: {"items": [one for one in items for _ in (0, 1)]},
    "an answer without items": lambda items, _: {},
    "an answer that is a list": lambda items, _: items,
    "an answer that is null": lambda items, _: None,
    "items of another form": lambda items, _: {"items": [None, *items[1:-1], "created"]},
}


async def tampered(fault: str) -> Row:
    """Write through the cluster's engine while bulk answers are changed."""
    transport = Tampered(TAMPERINGS[fault])
    engine = OpenSearchEngine(Http(transport, "http://cluster:9200", Identity(), 30.0), sleep=_no_pause)
    sources = [StoredDocument(f"d{n}", {"title": f"t{n}"}, "h", "ok") for n in range(DOCUMENTS)]
    results = await engine.write(INDEX, sources)
    row = Row(fault, sent=len(sources), errors=[one.error.code.value for one in results if one.error is not None])
    row.count((one.id for one in results if one.error is None), transport.stored)
    if not transport.bulks:
        raise SystemExit(f"{fault}: no bulk was sent: {results[0].error}")
    row.after = "every document has a result" if len(results) == len(sources) else "RESULTS ARE MISSING"
    return row


async def _no_pause(_: float) -> None:
    """Backoff takes seconds, which this does not measure."""


async def rows(*, processes: bool = True) -> list[Row]:
    """All rows; those with processes of their own take most of the time."""
    found = [await tampered(fault) for fault in TAMPERINGS]
    with tempfile.TemporaryDirectory() as folder:
        found += await together(Path(folder))
    if processes:
        for number in (signal.SIGKILL, signal.SIGSTOP):
            for work in ("feed", "backfill", "search"):
                with tempfile.TemporaryDirectory() as folder:
                    found.append(await during(Path(folder), f"{number.name} during {work}", number, work))
        with tempfile.TemporaryDirectory() as folder:
            found += await tokens(Path(folder))
    return found


def measure() -> dict[str, Any]:
    """The table; a row that is not sound stops the run."""
    found = asyncio.run(rows())
    if broken := [row.fault for row in found if not row.is_sound]:
        raise SystemExit(f"not sound: {', '.join(broken)}")
    return {"documents": DOCUMENTS, "rows": [{**asdict(row), "errors": sorted(set(row.errors))} for row in found]}
