"""A sidecar with its page in a thread of its own: beside a browser, which is driven from the main one."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from sidecar.client.client import Client
from sidecar.config import Embedded, Gateway, Limits, Metrics, Settings, shipped_model
from sidecar.serve import running
from sidecar.values.documents import SourceDocument
from sidecar.values.index import IndexOptions

JSON = {"content-type": "application/json"}
SECONDS = 300.0  # a machine may be busy
Indices = dict[str, Iterable[SourceDocument]]


@dataclass(frozen=True, slots=True)
class Site:
    """Where the page and the gRPC port are."""

    url: str
    address: str
    settings: Settings
    stop: Callable[[], None]
    """Ends the sidecar, and returns when it has ended; the end of the block does so too."""

    def ask(self, name: str, body: object) -> Any:
        """What the page would be answered."""
        request = Request(f"{self.url}/page/api/{name}", json.dumps(body).encode(), JSON)
        with urlopen(request, timeout=SECONDS) as answer:
            return json.load(answer)


@contextmanager
def serving(
    folder: Path, indices: Indices, *, model: str, clusters: tuple[str, ...] = (), port: int = 0
) -> Iterator[Site]:
    """A shipped model, and indices in a folder; those that are there already are not fed again."""
    settings = Settings(
        port=0,
        embedded=Embedded(path=folder / "index.sqlite"),
        models={model: str(Path(shipped_model()).with_name(model))},
        metrics=Metrics(port=-1),
        gateway=Gateway(port=port, judgements=folder / "judged", clusters=clusters),
        limits=Limits(deadline=SECONDS),
    )
    started, stop, found = threading.Event(), asyncio.Event(), list[Site]()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        try:
            async with running(settings) as sidecar:
                await sidecar.warm()
                async with Client(sidecar.address, timeout=SECONDS) as client:
                    there = {one.index for one in (await client.list_indices()).indices}
                    for index, documents in indices.items():
                        if index not in there:
                            await _fill(client, index, documents)
                found.append(Site(sidecar.gateway_url, sidecar.address, settings, end))
                started.set()
                await stop.wait()
        finally:
            started.set()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))

    def end() -> None:
        if found and thread.is_alive():
            loop.call_soon_threadsafe(stop.set)
        thread.join()

    thread.start()
    started.wait()
    try:
        assert found, "the sidecar did not start: see the warning about its thread"
        yield found[0]
    finally:
        end()
        loop.close()


async def _fill(client: Client, index: str, documents: Iterable[SourceDocument]) -> None:
    async def all_of_them() -> AsyncIterator[SourceDocument]:
        for document in documents:
            yield document

    await client.setup_index(index, IndexOptions())
    async for result in client.index_documents(index, all_of_them(), refresh=True):
        assert result.error is None
