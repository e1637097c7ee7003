"""This commit and an earlier one beside each other: ``make prove SECTION=versions``.

Two sidecars on one index, each from its own checkout, with the same model and the same key of page tokens; then two
nodes of one cluster, each with the plugin of its own commit. Searches go to both in turn while both write. No search
may fail, both must answer the same page, a walk through pages that begins at one and goes on at the other must show
each hit once and in one order, and what one has encoded the other must leave as it is.

Then a cluster goes from one version of OpenSearch to the next, see `versions_rolling`.

``VERSIONS_BASE`` names the earlier commit; else it is the last tag, or, before
the first, the commit whose conversation `tests/contract/tape.json` holds: later ones promise to live beside it.
Needs git, Maven and a JDK.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sidecar.client.client import Client
from sidecar.cluster import running_cluster
from sidecar.cluster.node import free_ports
from sidecar.errors import ChercheError
from sidecar.values.documents import SourceDocument
from sidecar.values.index import IndexOptions
from sidecar.values.search import SearchRequest
from tests.benchmarks.plugin import ready
from tests.benchmarks.versions_plugin import two_plugins
from tests.benchmarks.versions_rolling import rolling

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "cherche_models" / "pretrained" / "cherche-tiny"
INDEX = "versions"
DOCUMENTS, ROUNDS, PAGES, SIZE = 400, 60, 5, 10
ALIKE = 1e-4
"""Of scores: two processes may add the same numbers in another order."""
WORDS = ("river", "market", "engine", "bridge", "letter", "harvest", "signal", "museum", "copper", "winter")
Hits = list[tuple[str, float]]


def base() -> str:
    """The earlier commit."""
    if named := os.environ.get("VERSIONS_BASE"):
        return _git("rev-parse", named)
    line = ["git", "-C", str(ROOT), "describe", "--tags", "--abbrev=0"]
    tagged = subprocess.run(line, check=False, capture_output=True, text=True)
    if tagged.returncode == 0:
        return _git("rev-parse", f"{tagged.stdout.strip()}^{{commit}}")
    return _git("log", "-1", "--format=%H", "--", "tests/contract/tape.json")


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(ROOT), *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


@contextmanager
def checkout(commit: str) -> Iterator[Path]:
    """A folder with the files of a commit."""
    with tempfile.TemporaryDirectory(prefix="cherche-versions-") as folder:
        path = Path(folder) / "tree"
        _git("worktree", "add", "--detach", str(path), commit)
        try:
            yield path
        finally:
            _git("worktree", "remove", "--force", str(path))


@contextmanager
def sidecar_of(tree: Path, url: str) -> Iterator[str]:
    """Address of a sidecar that runs from a checkout."""
    [port] = free_ports(1)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CHERCHE_")}
    environment |= {"PYTHONPATH": str(tree), "CHERCHE_PAGE_TOKEN_KEY": "k" * 32, "CHERCHE_LOG_LEVEL": "error"}
    serve = ["-m", "sidecar.cli", "serve", "--url", url, "--port", str(port), "--metrics-port", "-1"]
    # Shorter types round otherwise in each way to run them, within one version too.
    serve += ["--model", f"cherche-tiny={MODEL}", "--dtype", "float32"]
    process = subprocess.Popen([sys.executable, *serve], cwd=tree, env=environment)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def text_of(number: int, turn: int = 0) -> str:
    """The text of a document; a turn changes it."""
    picked = [WORDS[(number * 7 + step * (1 + number % 3)) % len(WORDS)] for step in range(8)]
    return f"{' '.join(picked)} number{number} turn{turn}"


def sources(first: int, count: int, turn: int = 0) -> list[SourceDocument]:
    """Documents, as of a turn."""
    texts = ((n, text_of(n, turn)) for n in range(first, first + count))
    return [SourceDocument(f"d{n}", json.dumps({"title": f"{n}", "text": text}).encode()) for n, text in texts]


async def feed(client: Client, documents: Sequence[SourceDocument], index: str = INDEX) -> Counter[str]:
    """Outcomes of a feed, errors by their code."""

    async def arriving() -> AsyncIterator[SourceDocument]:
        for one in documents:
            yield one

    found = Counter[str]()
    async for result in client.index_documents(index, arriving(), refresh=True):
        found[str(result.outcome) if result.error is None else result.error.code.value] += 1
    return found


def asked(number: int, **others: Any) -> SearchRequest:
    """One of many searches."""
    text = f"{WORDS[number % len(WORDS)]} {WORDS[(3 * number + 1) % len(WORDS)]}"
    return SearchRequest(INDEX, text, size=SIZE, rerank=True, **others)


async def page(client: Client, request: SearchRequest, failed: Counter[str]) -> tuple[Hits, str]:
    """Hits and the token of the next page."""
    try:
        result = await client.search(request)
    except ChercheError as error:
        failed[f"{error.code.value}: {error.reason}"] += 1
        return [], ""
    return [(hit.id, hit.score) for hit in result.hits], result.next_page_token


def same(one: Hits, other: Hits) -> bool:
    """Whether two pages have the same scores in the same places; of equal scores either hit may come first."""
    return len(one) == len(other) and all(
        abs(a - b) <= ALIKE * max(1.0, abs(a)) for (_, a), (_, b) in zip(one, other, strict=True)
    )


async def walk(clients: Sequence[Client], number: int, failed: Counter[str]) -> Hits:
    """Pages of one search, each asked of the next client in turn."""
    found: Hits = []
    request = asked(number, paginate=True)
    for place in range(PAGES):
        hits, token = await page(clients[place % len(clients)], request, failed)
        found += hits
        if not token:
            break
        request = replace(request, page_token=token)
    return found


async def two_sidecars(old: Client, new: Client) -> dict[str, Any]:
    """All that two sidecars do to one index."""
    failed, failed_beside_writes = Counter[str](), Counter[str]()
    await old.setup_index(INDEX, IndexOptions(model="cherche-tiny"))
    half = DOCUMENTS // 2
    fed = {"old": await feed(old, sources(0, half)), "new": await feed(new, sources(half, half))}
    again = {"old": await feed(old, sources(half, half)), "new": await feed(new, sources(0, half))}
    both = (old, new)
    pages = [[(await page(client, asked(n), failed))[0] for client in both] for n in range(ROUNDS)]
    walks = [
        [await walk(way, n, failed) for way in ((old,), (new,), (old, new), (new, old))] for n in range(len(WORDS))
    ]
    whole = sum(len({id for id, _ in each}) == len(each) and same(each, all_[0]) for all_ in walks for each in all_)

    async def write(client: Client, first: int) -> Counter[str]:
        outcomes = Counter[str]()
        for turn in range(1, 6):
            outcomes += await feed(client, sources(first, half, turn))
        return outcomes

    writing = [asyncio.create_task(write(old, half)), asyncio.create_task(write(new, 0))]
    beside = 0
    while not all(task.done() for task in writing):
        await page(both[beside % 2], asked(beside), failed_beside_writes)
        beside += 1
    written = await asyncio.gather(*writing)
    return {
        "fed": {name: dict(found) for name, found in fed.items()},
        "fed again by the other": {name: dict(found) for name, found in again.items()},
        "searches": 2 * ROUNDS,
        "same pages": sum(same(*pair) for pair in pages),
        "walks": 4 * len(WORDS),
        "walks with each hit once, in one order": whole,
        "searches beside writes": beside,
        "writes beside searches": [dict(found) for found in written],
        "failed": dict(failed + failed_beside_writes),
    }


@asynccontextmanager
async def clients(*addresses: str) -> AsyncIterator[list[Client]]:
    """Clients of sidecars that are warm."""
    found = [Client(address, timeout=120.0) for address in addresses]
    try:
        for client in found:
            await ready(client)
        yield found
    finally:
        for client in found:
            await client.aclose()


async def beside(old: str, new: str) -> dict[str, Any]:
    """Figures of two sidecars at these addresses."""
    async with clients(old, new) as [one, other]:
        return await two_sidecars(one, other)


def problems(figures: dict[str, Any]) -> list[str]:
    """What may not be."""
    unchanged = all(set(found) == {"unchanged"} for found in figures["fed again by the other"].values())
    stored = all(set(found) <= {"encoded", "unchanged", "reused"} for found in figures["writes beside searches"])
    found = {
        "searches failed": bool(figures["failed"]),
        "pages differ": figures["same pages"] * 2 != figures["searches"],
        "walks are mixed": figures["walks with each hit once, in one order"] != figures["walks"],
        "one encodes again what the other did": not unchanged,
        "writes failed": not stored,
    }
    return [name for name, is_so in found.items() if is_so]


def measure() -> dict[str, Any]:
    """Section ``versions`` of the proofs; what may not be stops the run."""
    commit = base()
    with checkout(commit) as tree:
        with ExitStack() as stack:
            [url] = stack.enter_context(running_cluster(heap="512m"))
            addresses = [stack.enter_context(sidecar_of(one, url)) for one in (tree, ROOT)]
            sidecars = asyncio.run(beside(*addresses))
        print(json.dumps(sidecars, indent=1))
        plugins = two_plugins(tree, ROOT)
        print(json.dumps(plugins, indent=1))
    upgrade = rolling(ROOT)
    print(json.dumps(upgrade, indent=1))
    if found := [*problems(sidecars), *plugins["problems"], *upgrade["problems"]]:
        raise SystemExit(f"{commit[:12]} beside this commit: {', '.join(found)}")
    return {"earlier commit": commit[:12], "two sidecars": sidecars, "two plugins": plugins, "upgrade": upgrade}
