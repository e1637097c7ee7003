"""A real node with the plugin installed, a sidecar, and raw requests as any client sends them."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import pytest

from sidecar.cluster import running_cluster
from sidecar.cluster.places import cache_folder, java_home, maven
from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.errors import ChercheError, Code
from sidecar.testing import FakeModel, running_server
from sidecar.values.index import IndexOptions
from tests.integration.plugin.cluster import Cluster
from tests.integration.plugin.requests import bulk, ingest_pipeline

ROOT = Path(__file__).parents[3]
PLUGIN = ROOT / "opensearch" / "plugin"
LONG_DEADLINE = "25s"  # so that a loaded machine fails no test that is not about deadlines
SYNONYMS = {"car": "automobile", "film": "movie"}


@pytest.fixture(scope="session")
def plugin_zip(require: Callable[[str, str], None]) -> Path:
    """The plugin, built with its JUnit tests unless nothing has changed since the last build."""
    return built("3.8.0", PLUGIN / "target", require)


@pytest.fixture(scope="session")
def older_plugin_zip(require: Callable[[str, str], None]) -> Path:
    """The same for the newest engine with a security plugin on Maven Central; its build runs no JUnit tests.

    It is kept in the user's cache folder, as the assembled servers are, by what it is built from.
    """
    digest = sha256()
    for path in sorted(sources()):
        digest.update(f"{path.relative_to(ROOT)} ".encode() + sha256(path.read_bytes()).digest())
    cache = cache_folder(os.environ, root=os.geteuid() == 0, home=Path.home()) / "plugin"
    kept = cache / f"cherche-{digest.hexdigest()[:16]}+os3.4.0.zip"
    if not kept.is_file():
        fresh = built("3.4.0", PLUGIN / "target" / "os3.4.0", require, "-Dmaven.test.skip=true")
        shutil.rmtree(cache, ignore_errors=True)
        cache.mkdir(parents=True, mode=0o755)
        kept.with_suffix(".part").write_bytes(fresh.read_bytes())
        kept.with_suffix(".part").rename(kept)
    return kept


def built(version: str, target: Path, require: Callable[[str, str], None], *flags: str) -> Path:
    """Zip of the plugin for an engine; `flags` go to Maven. Processes that need the same one wait for each other."""
    try:
        environment = {**os.environ, "JAVA_HOME": str(java_home(os.environ))}
        command = [maven(), "-B", "-q", "-ntp", "-f", str(PLUGIN / "pom.xml"), "package", *flags]
    except ChercheError as error:
        require("java", str(error))
        raise
    command += [f"-Dopensearch.version={version}", f"-Dbuild.folder={target}"]
    target.mkdir(parents=True, exist_ok=True)
    with (target / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = newest(target, version)
        if found is None or found.stat().st_mtime < max(path.stat().st_mtime for path in sources()):
            for folder in ("classes", "test-classes", "surefire-reports"):  # Maven keeps the classes of deleted sources
                shutil.rmtree(target / folder, ignore_errors=True)
            ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            wrong = "\n".join(line for line in ran.stdout.splitlines() if "[ERROR]" in line)
            assert ran.returncode == 0, f"{ran.stdout}{ran.stderr}\n{wrong}"  # last, where the end of a log shows it
            found = newest(target, version)
    assert found is not None
    return found


def newest(target: Path, version: str) -> Path | None:
    return max(target.glob(f"cherche-*+os{version}.zip"), key=lambda path: path.stat().st_mtime, default=None)


def sources() -> Iterator[Path]:
    """Files that decide the build and its JUnit tests."""
    yield PLUGIN / "pom.xml"
    yield from (ROOT / "tests" / "contract").glob("*.json")
    yield from (path for path in (PLUGIN / "src").rglob("*") if path.is_file())
    yield from (ROOT / "protos").rglob("*.proto")


@pytest.fixture(scope="session")
def plugin_url(plugin_zip: Path) -> Iterator[str]:
    """URL of a node with the plugin."""
    with running_cluster(heap="768m", plugins=[plugin_zip]) as urls:
        yield urls[0]


@pytest.fixture
async def engine(plugin_url: str) -> AsyncIterator[OpenSearchEngine]:
    engine = OpenSearchEngine.connect(plugin_url)
    yield engine
    await engine.aclose()


@pytest.fixture
async def cluster(engine: OpenSearchEngine) -> AsyncIterator[Cluster]:
    """An index that is set up; everything the test created is deleted afterwards."""
    model = FakeModel(synonyms=SYNONYMS)
    async with running_server(engine, [model]) as server:
        cluster = Cluster(engine, model, server, f"test-{uuid4().hex[:12]}")
        await cluster.settings(
            endpoints=[server.address], query__deadline=LONG_DEADLINE, rerank__deadline=LONG_DEADLINE
        )
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


@pytest.fixture
async def fed(cluster: Cluster) -> Cluster:
    """The cluster with 60 encoded documents about cars and films."""
    sources = {f"d{n:02}": {"title": f"car {n}", "text": f"film {'word ' * (n % 9)}number{n}"} for n in range(60)}
    await bulk(cluster, sources, await ingest_pipeline(cluster))
    return cluster
