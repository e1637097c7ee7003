"""A sidecar with its page, and a browser on it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sidecar.client.client import Client
from sidecar.config import Embedded, Gateway, Limits, Metrics, Settings, shipped_model
from sidecar.demo.corpus import standard_library
from sidecar.serve import running
from sidecar.values.documents import SourceDocument
from sidecar.values.index import IndexOptions
from tests.browser import Browser, axe_source, browser, violations

INDEX = "python"
MODULES = ("shutil", "tempfile")
SECONDS = 300.0  # a machine may be busy


@dataclass(frozen=True, slots=True)
class Site:
    url: str
    address: str
    settings: Settings


async def entries() -> AsyncIterator[SourceDocument]:
    for entry in standard_library():
        if entry.id.split(".")[0] in MODULES:
            yield SourceDocument(entry.id, entry.to_bytes())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The small shipped model and an index of three modules' documentation, in a thread of their own."""
    folder = tmp_path_factory.mktemp("site")
    tiny = str(Path(shipped_model()).with_name("cherche-tiny"))
    settings = Settings(
        port=0,
        embedded=Embedded(path=folder / "index.sqlite"),
        models={"cherche-tiny": tiny},
        metrics=Metrics(port=-1),
        gateway=Gateway(port=0, judgements=folder / "judged"),
        limits=Limits(deadline=SECONDS),
    )
    started, stop, found = threading.Event(), asyncio.Event(), list[Site]()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        try:
            async with running(settings) as sidecar:
                await sidecar.warm()
                async with Client(sidecar.address, timeout=SECONDS) as client:
                    await client.setup_index(INDEX, IndexOptions())
                    async for result in client.index_documents(INDEX, entries(), refresh=True):
                        assert result.error is None
                found.append(Site(sidecar.gateway_url, sidecar.address, settings))
                started.set()
                await stop.wait()
        finally:
            started.set()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    started.wait()
    try:
        assert found, "the sidecar did not start: see the warning about its thread"
        yield found[0]
    finally:
        if found:
            loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def opened(
    site: Site, tmp_path_factory: pytest.TempPathFactory, require: Callable[[str, str], None]
) -> Iterator[Browser]:
    """One browser for a module's tests."""
    with browser(site.url, tmp_path_factory.mktemp("profile"), require) as tab:
        yield tab


@pytest.fixture
def tab(opened: Browser) -> Iterator[Browser]:
    """The browser, which must have had nothing to complain about at the end."""
    opened.said.clear()
    yield opened
    assert opened.said == [], "the console is empty: no error, and nothing that the policy refused"


@pytest.fixture
def accessible(tab: Browser) -> Callable[[], Any]:
    """A check of what is open, in light and in dark colours."""
    source = axe_source()
    if source is None:
        pytest.skip("axe-core is not there: make axe")

    def check() -> None:
        for theme in ("light", "dark"):
            tab.page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
            assert violations(tab, source) == []

    return check
