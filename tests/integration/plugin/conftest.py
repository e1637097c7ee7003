"""A real node with the plugin installed, a sidecar beside it, and raw requests as any client sends them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from sidecar.cluster import running_cluster
from sidecar.cluster.places import java_home, maven
from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.engines.opensearch.http import Request
from sidecar.errors import ChercheError, Code
from sidecar.testing import FakeModel, RunningServer, running_server
from sidecar.values.index import IndexOptions

ROOT = Path(__file__).parents[3]
PLUGIN = ROOT / "opensearch" / "plugin"
PATIENT = "25s"  # a loaded machine must not make a test fail that is not about time
SYNONYMS = {"car": "automobile", "film": "movie"}


@pytest.fixture(scope="session")
def plugin_zip(require: Callable[[str, str], None]) -> Path:
    """The plugin, built with its unit tests unless nothing changed since."""
    return built("3.8.0", PLUGIN / "target", require)


@pytest.fixture(scope="session")
def older_plugin_zip(require: Callable[[str, str], None]) -> Path:
    """The same for the newest engine whose security plugin is on Maven Central; its unit tests ran with the other."""
    return built("3.4.0", PLUGIN / "target" / "os3.4.0", require, "-Dmaven.test.skip=true")


def built(version: str, target: Path, require: Callable[[str, str], None], *flags: str) -> Path:
    """Zip of the plugin for an engine; `flags` go to Maven."""
    try:
        environment = {**os.environ, "JAVA_HOME": str(java_home(os.environ))}
        command = [maven(), "-B", "-q", "-ntp", "-f", str(PLUGIN / "pom.xml"), "package", *flags]
    except ChercheError as error:
        require("java", str(error))
        raise
    zips = f"cherche-*+os{version}.zip"
    found = next(target.glob(zips), None)
    if found is None or found.stat().st_mtime < max(path.stat().st_mtime for path in sources()):
        command += [f"-Dopensearch.version={version}", f"-Dbuild.folder={target}"]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        found = next(target.glob(zips))
    return found


def sources() -> Iterator[Path]:
    yield PLUGIN / "pom.xml"
    yield from (path for path in (PLUGIN / "src").rglob("*") if path.is_file())
    yield from (ROOT / "protos").rglob("*.proto")


@pytest.fixture(scope="session")
def plugin_url(plugin_zip: Path) -> Iterator[str]:
    """URL of a node with the plugin."""
    with running_cluster(heap="768m", plugins=[plugin_zip]) as urls:
        yield urls[0]


@dataclass(frozen=True, slots=True)
class Cluster:
    """The node under test, a sidecar that it calls, and an index of the test's own."""

    engine: OpenSearchEngine
    model: FakeModel
    server: RunningServer
    index: str

    async def send(self, method: str, path: str, body: Any = None, **params: str) -> Any:
        """A raw request."""
        return await self.engine._http.send(Request(method, path, body, params), what="test")

    async def settings(self, **values: Any) -> None:
        """Change the plugin's settings; None is the default."""
        named = {f"plugins.cherche.{name.replace('__', '.')}": value for name, value in values.items()}
        await self.send("PUT", "/_cluster/settings", {"persistent": named})

    async def stats(self) -> dict[str, Any]:
        """What the plugin of the only node counted."""
        reply = await self.send("GET", "/_plugins/_cherche/stats")
        [node] = reply["nodes"].values()
        return dict(node)


@pytest.fixture
async def engine(plugin_url: str) -> AsyncIterator[OpenSearchEngine]:
    engine = OpenSearchEngine.connect(plugin_url)
    yield engine
    await engine.aclose()


@pytest.fixture
async def cluster(engine: OpenSearchEngine) -> AsyncIterator[Cluster]:
    """An index that is set up; everything the test made is gone afterwards."""
    model = FakeModel(synonyms=SYNONYMS)
    async with running_server(engine, [model]) as server:
        cluster = Cluster(engine, model, server, f"test-{uuid4().hex[:12]}")
        await cluster.settings(endpoints=[server.address], query__deadline=PATIENT, rerank__deadline=PATIENT)
        await server.client.setup_index(cluster.index, IndexOptions())
        yield cluster
        model.gate.set()
        for method, path in (("PUT", "/_cluster/settings"), ("DELETE", f"/{cluster.index}*")):
            body = {"persistent": {"plugins.cherche.*": None}} if method == "PUT" else None
            try:
                await cluster.send(method, path, body)
            except ChercheError as error:
                if error.code != Code.NOT_FOUND:
                    raise
