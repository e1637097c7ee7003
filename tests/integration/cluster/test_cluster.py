"""Starting and ending real nodes."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sidecar.cli.cluster import cluster
from sidecar.cluster import down, running_cluster, up
from sidecar.cluster.assemble import assemble, home_folder
from sidecar.cluster.parts import ELASTICSEARCH, OPENSEARCH, Server
from sidecar.cluster.places import cache_folder, java_home
from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.engines.opensearch.http import Request
from sidecar.errors import ChercheError, Code
from sidecar.values.documents import StoredDocument
from tests.brief import brief

pytestmark = pytest.mark.java
SERVERS = (OPENSEARCH, ELASTICSEARCH)


@pytest.fixture(scope="module")
def environment(require: Callable[[str, str], None]) -> Iterator[dict[str, str]]:
    """An environment whose cache is a copy of the machine's own, so that state files do not meet."""
    here = {name: value for name, value in os.environ.items() if name not in {one.variable for one in SERVERS}}
    cache = cache_folder(here, root=os.geteuid() == 0, home=Path.home())
    try:
        for server in SERVERS:
            java_home(here, server)
        homes = [(server, assemble(cache, here, server)) for server in SERVERS]
    except ChercheError as error:
        if error.code != Code.FAILED_PRECONDITION:
            raise
        require("java", str(error))
        raise
    with tempfile.TemporaryDirectory(prefix="cherche-cache-") as scratch:
        os.chmod(scratch, 0o755)
        for server, home in homes:
            shutil.copytree(home, home_folder(Path(scratch) / "cherche", server))
        yield {**here, "XDG_CACHE_HOME": scratch}


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=90) as response:  # longer than a cluster is asked to wait
        return json.load(response)


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_up_keeps_what_runs_and_down_ends_it(
    server: Server, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", environment["XDG_CACHE_HOME"])
    monkeypatch.delenv(server.variable, raising=False)
    runner = CliRunner()
    started = runner.invoke(cluster, ["up", "--product", server.name, "--heap", "512m", "--json", "--quiet"])
    try:
        assert started.exit_code == 0, started.output
        first = json.loads(started.stdout)
        assert get(first["urls"][0])["version"]["number"] == server.version
        again = runner.invoke(cluster, ["up", "--product", server.name, "--quiet"])
        assert again.stdout.strip() == first["urls"][0]
        assert sorted(up(environment=environment, server=server).pids) == first["pids"]
    finally:
        ended = runner.invoke(cluster, ["down", "--purge", "--json"])
    assert json.loads(ended.stdout) == {"ended": 1}
    with pytest.raises(OSError, match="refused"):
        get(first["urls"][0])
    assert down(environment) == 0
    assert not (Path(environment["XDG_CACHE_HOME"]) / "cherche" / "dev").exists()


def test_a_node_that_does_not_start_shows_its_log(environment: dict[str, str]) -> None:
    with (
        pytest.raises(ChercheError, match="Invalid initial heap size") as failed,
        running_cluster(heap="none", environment=environment),
    ):
        pass
    assert failed.value.code == Code.UNAVAILABLE


async def test_three_nodes_answer_alike_after_a_refresh(environment: dict[str, str]) -> None:
    documents = [StoredDocument(f"d{n}", {"n": n, "pad": "x" * 2000}, "hash", "pending") for n in range(2000)]
    with running_cluster(nodes=3, environment=environment, server=brief(OPENSEARCH)) as urls:
        assert len({get(f"{url}/_cluster/state/version")["cluster_uuid"] for url in urls}) == 1
        engine = OpenSearchEngine.connect(urls[0])
        try:
            settings = {"number_of_replicas": 2, "replication.type": "SEGMENT", "refresh_interval": "-1"}
            await engine._http.send(Request("PUT", "/books", {"settings": settings}), what="books")
            get(f"{urls[0]}/_cluster/health/books?wait_for_status=green&timeout=60s")
            assert not [result for result in await engine.write("books", documents) if result.error]
            await engine.refresh("books")
        finally:
            await engine.aclose()
        for number, url in enumerate(urls, start=1):
            found = get(f"{url}/books/_search?size=0&track_total_hits=true&preference=_only_nodes:node-{number}")
            assert found["hits"]["total"] == {"value": 2000, "relation": "eq"}
