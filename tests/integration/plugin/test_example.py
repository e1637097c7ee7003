"""The example index of docker compose, made by its own command on a real node with the plugin."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from subprocess import PIPE

import pytest

from sidecar.demo import example
from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.errors import ChercheError
from sidecar.testing import FakeModel, running_server
from tests.integration.plugin.cluster import Cluster
from tests.integration.plugin.conftest import LONG_DEADLINE, ROOT
from tests.integration.plugin.requests import ids, match

pytestmark = [pytest.mark.java, pytest.mark.timeout(900)]  # the first builds the plugin and starts the node


@pytest.fixture
async def python(engine: OpenSearchEngine) -> AsyncIterator[Cluster]:
    model = FakeModel()
    async with running_server(engine, [model]) as server:
        cluster = Cluster(engine, model, server, example.INDEX)
        await cluster.settings(
            endpoints=[server.address], query__deadline=LONG_DEADLINE, rerank__deadline=LONG_DEADLINE
        )
        yield cluster
        await cluster.send("PUT", "/_cluster/settings", {"persistent": {"plugins.cherche.*": None}})
        name = example.PIPELINE
        for path in (f"/{example.INDEX}", f"/_ingest/pipeline/{name}", f"/_search/pipeline/{name}"):
            with suppress(ChercheError):  # a command that failed did not make it
                await cluster.send("DELETE", path)


async def run(cluster: Cluster, url: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CHERCHE_SERVER": cluster.server.address, "CHERCHE_URL": url}
    command = [sys.executable, "-m", "sidecar.demo.example", str(ROOT / "opensearch" / "pipelines")]
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=PIPE, stderr=PIPE)
    printed, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return printed.decode()


async def test_its_command_fills_an_index_that_plain_searches_find_hybrid(python: Cluster, plugin_url: str) -> None:
    printed = await run(python, plugin_url)
    total = (await python.send("GET", f"/{example.INDEX}/_count"))["count"]
    assert printed.splitlines()[-1] == f"python: {total:,} of {total:,} documents are encoded"
    found = await python.send("POST", f"/{example.INDEX}/_search", {"query": match("delete a whole directory tree")})
    assert found["ext"]["cherche"]["query_status"] == "REWRITTEN"
    assert found["ext"]["cherche"]["rerank_status"] == "APPLIED"
    assert "shutil.rmtree" in ids(found)
    # The second time everything is there: only setup encodes, a sample for the size that it projects.
    encoded = len(python.model.batches)
    assert await run(python, plugin_url) == printed
    assert sum(map(len, python.model.batches[encoded:])) < total / 10
