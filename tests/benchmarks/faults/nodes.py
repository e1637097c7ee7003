"""A real cluster of three nodes: one is lost, an index is blocked, and its disks pass the flood stage.

Each of these during a feed and during a backfill, and over before the work is: what was acknowledged must be stored,
what was refused must have been said, and the same work done again must complete the rest. The flood stage is reached
by raising the watermark above every disk there is, so that the cluster itself blocks the index and releases it again.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sidecar.client.client import Client
from sidecar.cluster import Nodes, running_nodes
from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.errors import ChercheError, Code
from sidecar.testing import FakeModel, running_server
from sidecar.values.documents import SourceDocument
from sidecar.values.index import IndexOptions
from tests.benchmarks.faults.row import Row, documents
from tests.integration.nodes.copies import engine_of, green, node_of, send

HEAP = "384m"
MOST = 20_000
"""Documents of a feed at most: a fault that was not met by then is met no more."""
HELD = 1_500
"""Documents that a backfill finds."""
ENOUGH = 40
"""Documents acknowledged before a fault, and again after it."""
PAUSE = 0.01
PATIENCE = 240.0
CALLED = "node-1"
"""The node whose address the sidecar has; another one is lost."""
DISK = "cluster.routing.allocation.disk"


@dataclass(slots=True)
class Place:
    """A cluster, its sidecar, and the index of one row."""

    nodes: Nodes
    engine: OpenSearchEngine
    client: Client
    address: str
    model: FakeModel
    folder: Path
    index: str
    lost: list[str] = field(default_factory=list)

    async def put(self, path: str, body: Mapping[str, Any]) -> None:
        """Change settings."""
        await send(self.engine, "PUT", path, body)

    async def is_blocked(self) -> bool:
        """Whether the cluster has blocked the index because of its disks."""
        held = await send(self.engine, "GET", f"/{self.index}/_settings", flat_settings="true")
        blocked = held[self.index]["settings"].get("index.blocks.read_only_allow_delete")
        return str(blocked) == "true"

    async def cli(self, *arguments: str) -> asyncio.subprocess.Process:
        """Start the command line against the sidecar."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CHERCHE_")}
        kept["CHERCHE_LIMITS__DEADLINE"] = str(PATIENCE)
        line = ["-m", "sidecar.cli", *arguments, "--server", self.address, "--json"]
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            sys.executable, *line, cwd=self.folder, env=kept, stdout=pipe, stderr=pipe
        )

    async def there(self) -> dict[str, str]:
        """Ids that the index holds, and their states."""
        await green(self.engine, self.index)
        await self.engine.refresh(self.index)
        return {one.id: one.state async for one in self.client.dump_index(self.index)}


Change = Callable[[Place], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done to a cluster, and undone; `refuses` says whether writes are refused meanwhile."""

    name: str
    begin: Change
    end: Change
    refuses: bool = True


async def _lose(place: Place) -> None:
    """Kill a node that holds a primary."""
    holders = {await node_of(place.engine, place.index, primary=True, shard=shard) for shard in range(3)}
    [lost, *_] = sorted(holders - {CALLED})
    place.lost.append(lost)
    await asyncio.to_thread(place.nodes.kill, lost)


async def _return(place: Place) -> None:
    await asyncio.to_thread(place.nodes.start, place.lost.pop())


async def _block(place: Place) -> None:
    await place.put(f"/{place.index}/_settings", {"index.blocks.read_only": True})


async def _unblock(place: Place) -> None:
    await place.put(f"/{place.index}/_settings", {"index.blocks.read_only": None})


def _watermark(low: str, high: str, flood: str) -> dict[str, Any]:
    """Free space below which a disk is too full; looked at as often as a cluster allows."""
    stages = {"low": low, "high": high, "flood_stage": flood}
    watermark = {f"{DISK}.watermark.{stage}": value for stage, value in stages.items()}
    return {"persistent": {f"{DISK}.threshold_enabled": True, "cluster.info.update.interval": "10s", **watermark}}


async def _flood(place: Place) -> None:
    await place.put("/_cluster/settings", _watermark("900tb", "900tb", "900tb"))
    await until(place.is_blocked, "the cluster blocks the index")


async def _ebb(place: Place) -> None:
    await place.put("/_cluster/settings", _watermark("3b", "2b", "1b"))

    async def is_released() -> bool:
        # Beyond the high watermark of all nodes the cluster makes no new index either.
        state = await send(place.engine, "GET", "/_cluster/state/blocks")
        return not state["blocks"].get("global") and not await place.is_blocked()

    await until(is_released, "the cluster releases the index, and itself")
    usual = dict.fromkeys(_watermark("", "", "")["persistent"])
    await place.put("/_cluster/settings", {"persistent": usual})


FAULTS = (
    Fault("a node that is lost", _lose, _return, refuses=False),
    Fault("a read-only block that is set and lifted", _block, _unblock),
    Fault("a disk that passes the flood stage and is freed", _flood, _ebb),
)


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait for something that another process does."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not await condition():  # noqa: ASYNC110  # another process
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise SystemExit(f"waited {PATIENCE:g} s in vain: {what}") from None


class Feed:
    """A feed whose documents go on arriving until its caller ends them."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.seen, self.errors = set[str](), list[str]()
        self.sent: list[SourceDocument] = []
        self._ends = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    async def acknowledges(self, more: int) -> None:
        """Wait until so many more documents are stored."""
        wanted = len(self.seen) + more

        async def has() -> bool:
            return self._task.done() or len(self.seen) >= wanted

        await until(has, f"{more} documents are acknowledged")

    async def refuses(self) -> None:
        """Wait until a document is refused."""

        async def has() -> bool:
            return self._task.done() or bool(self.errors)

        await until(has, "a document is refused")

    async def end(self) -> None:
        """Let no more documents arrive, and wait for what is said of the last."""
        self._ends.set()
        await self._task

    async def _arriving(self) -> AsyncIterator[SourceDocument]:
        for one in documents(MOST):
            if self._ends.is_set():
                return
            self.sent.append(one)
            yield one
            await asyncio.sleep(PAUSE)

    async def _run(self) -> None:
        try:
            async for result in self.place.client.index_documents(self.place.index, self._arriving()):
                if result.error is None:
                    self.seen.add(result.id)
                else:
                    self.errors.append(result.error.code.value)
        except ChercheError as error:
            self.errors.append(error.code.value)


async def during_feed(place: Place, fault: Fault) -> Row:
    """A fault while documents arrive; while it lasts the command line feeds some too."""
    row, few = Row(f"{fault.name}, during a feed"), place.folder / f"{place.index}.jsonl"
    few.write_text("".join(f'{{"_id": "few{n}", "title": "red car {n}"}}\n' for n in range(10)))
    feed = Feed(place)
    await feed.acknowledges(ENOUGH)
    await fault.begin(place)
    await (feed.refuses() if fault.refuses else feed.acknowledges(ENOUGH))
    command = await place.cli("feed", place.index, str(few))
    await command.communicate()
    row.exit_code = command.returncode
    await fault.end(place)
    await feed.acknowledges(ENOUGH)
    await feed.end()
    row.sent, row.errors = len(feed.sent), feed.errors
    held = await place.there()
    row.count(feed.seen, (id for id, state in held.items() if state == "ok" and not id.startswith("few")))
    again = await place.cli("feed", place.index, str(_written(place, feed.sent)))
    await again.communicate()
    held = await place.there()
    whole = again.returncode == 0 and all(held.get(one.id) == "ok" for one in feed.sent)
    row.after = f"fed again: {'all' if whole else 'NOT ALL'} stored and encoded"
    row.lost += not whole
    return row


def _written(place: Place, sent: list[SourceDocument]) -> Path:
    path = place.folder / f"{place.index}.all.jsonl"
    lines = ({**json.loads(one.raw), "_id": one.id} for one in sent)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


async def during_backfill(place: Place, fault: Fault) -> Row:
    """A fault while the command line encodes what the index holds; the model waits while the fault begins."""
    row, report = Row(f"{fault.name}, during a backfill"), place.folder / f"{place.index}.backfill.jsonl"
    sources = documents(HELD)
    lines = "".join(f'{{"index":{{"_id":"{one.id}"}}}}\n{one.raw.decode()}\n' for one in sources)
    reply = await send(place.engine, "POST", f"/{place.index}/_bulk", lines.encode(), refresh="true")
    assert not reply["errors"], reply
    passes = len(place.model.batches)
    ways = ("--search-slowdown", "0", "--ignore-disk")
    command = await place.cli("backfill", place.index, *ways)
    ended = asyncio.create_task(command.communicate())

    async def works() -> bool:
        return ended.done() or len(place.model.batches) > passes + 2

    await until(works, "the backfill encodes")
    place.model.gate.clear()
    try:
        await fault.begin(place)
    finally:
        place.model.gate.set()

    async def is_refused() -> bool:
        return ended.done() or report.is_file()

    if fault.refuses:
        await until(is_refused, "a document is refused")
    else:
        await ended
    await fault.end(place)
    out, err = await ended
    row.exit_code = command.returncode
    row.sent = HELD
    row.errors = _codes(report, err)
    if Code.INTERNAL.value in row.errors:
        print(err.decode()[-2000:], flush=True)
    held = await place.there()
    # What a backfill says to have encoded must be; and no document may be gone.
    claimed, encoded = json.loads(out or b"{}").get("encoded", 0), sum(state == "ok" for state in held.values())
    row.count((one.id for one in sources), held)
    row.lost += max(0, claimed - encoded)
    again = await place.cli("backfill", place.index, *ways)
    await again.communicate()
    held = await place.there()
    whole = again.returncode == 0 and all(held.get(one.id) == "ok" for one in sources)
    row.after = f"{claimed:,} encoded; run again: {'all' if whole else 'NOT ALL'} {HELD:,} are"
    row.lost += not whole
    return row


def _codes(report: Path, err: bytes) -> list[str]:
    """Codes of the documents that were not done, and of the run itself."""
    found = [json.loads(line)["code"] for line in report.read_text().splitlines()] if report.is_file() else []
    for line in err.decode().splitlines():
        try:
            found.append(json.loads(line)["error"]["code"])
        except (ValueError, KeyError, TypeError):
            continue
    return found


async def lost_and_blocked(folder: Path) -> list[Row]:
    """All rows, each in an index of its own; needs Maven and a JDK."""
    environment = {name: value for name, value in os.environ.items() if name != "OPENSEARCH_URL"}
    found: list[Row] = []
    with running_nodes(3, HEAP, environment=environment) as nodes:
        async with engine_of(nodes, CALLED) as engine:
            shards = {"index.number_of_shards": 3, "index.number_of_replicas": 1}
            template = {"index_patterns": ["faults-*"], "template": {"settings": shards}}
            await send(engine, "PUT", "/_index_template/faults", template)
            model = FakeModel(latency=0.02)
            async with (
                running_server(engine, [model]) as server,
                Client(server.address, timeout=PATIENCE) as client,
            ):
                for number, fault in enumerate(FAULTS):
                    for work, run in (("feed", during_feed), ("backfill", during_backfill)):
                        index = f"faults-{number}-{work}"
                        place = Place(nodes, engine, client, server.address, model, folder, index)
                        await client.setup_index(index, IndexOptions())
                        await green(engine, index)
                        found.append(await run(place, fault))
                        print(found[-1].fault, found[-1].after, sep="  ", flush=True)
    return found


def refusals(rows: list[Row]) -> list[str]:
    """Faults that refuse writes and that were not reported as FAILED_PRECONDITION, with a failing exit code."""
    loud = [fault.name for fault in FAULTS if fault.refuses]
    silent = (row for row in rows if any(row.fault.startswith(name) for name in loud))
    return [row.fault for row in silent if Code.FAILED_PRECONDITION.value not in row.errors or not row.exit_code]
