"""The plugin's README documents every setting and option, and its commands do what it says."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from subprocess import PIPE

import pytest

from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.errors import ChercheError, Code
from sidecar.testing import FakeModel, running_server
from tests.integration.plugin.cluster import Cluster
from tests.integration.plugin.conftest import PLUGIN, ROOT

JAVA = PLUGIN / "src" / "main" / "java" / "org" / "cherche" / "opensearch"


def test_it_names_every_option_of_the_query_processor() -> None:
    options = [
        line.split('"')[1] for line in (JAVA / "Options.java").read_text().splitlines() if 'take(values, "' in line
    ]
    assert len(options) > 10
    readme = (PLUGIN / "README.md").read_text()
    assert [option for option in options if f"`{option}`" not in readme] == []


def test_it_names_every_setting() -> None:
    settings = settings_of((JAVA / "ChercheSettings.java").read_text())
    assert len(settings) > 10
    readme = (PLUGIN / "README.md").read_text()
    assert [name for name in settings if f"`{name}`" not in readme] == []


def settings_of(source: str) -> list[str]:
    after = [part.split('"')[1] for part in source.split("PREFIX + ")[1:] if part.startswith('"')]
    times = [part.split('"')[1] for part in source.split("= time(")[1:]]
    return [*after, *times]


@pytest.fixture
async def articles(engine: OpenSearchEngine) -> AsyncIterator[Cluster]:
    """A sidecar for the README's commands; what they made is deleted afterwards."""
    model = FakeModel(synonyms={"rest": "sleep", "remember": "memory"})
    async with running_server(engine, [model]) as server:
        cluster = Cluster(engine, model, server, "articles")
        yield cluster
        await cluster.send("PUT", "/_cluster/settings", {"persistent": {"plugins.cherche.*": None}})
        for path in ("/articles", "/_ingest/pipeline/cherche", "/_search/pipeline/cherche"):
            with suppress(ChercheError):  # a command that failed did not make it
                await cluster.send("DELETE", path)


@pytest.mark.java
@pytest.mark.timeout(900)  # may build the plugin and start the node
async def test_its_commands_set_up_fill_search_and_take_out(articles: Cluster, plugin_url: str) -> None:
    blocks = re.findall(r"^```\n(.+?)^```$", (PLUGIN / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    commands = [command for block in blocks[:2] for command in re.sub(r"\\\n", "", block).splitlines()]
    build, install, *rest = commands
    assert (build.split()[:2], install.split()[:2]) == (["make", "plugin"], ["bin/opensearch-plugin", "install"])
    assert len(rest) == 7
    answers = [await run(command, articles, plugin_url) for command in rest]
    assert [answer for answer in answers if '"error":' in answer] == []
    found = json.loads(answers[-1])
    assert [hit["_id"] for hit in found["hits"]["hits"]] == ["1"]
    assert (found["ext"]["cherche"]["query_status"], found["ext"]["cherche"]["rerank_status"]) == (
        "REWRITTEN",
        "APPLIED",
    )
    await run("cherche remove articles --yes --url http://localhost:9200", articles, plugin_url)
    settings = await articles.send("GET", "/articles/_settings", flat_settings="true")
    assert "cherche" not in json.dumps(settings)
    for kind in ("_ingest", "_search"):
        with pytest.raises(ChercheError) as gone:
            await articles.send("GET", f"/{kind}/pipeline/cherche")
        assert gone.value.code is Code.NOT_FOUND
    # The engine gives what went through an ingest pipeline in an order of its own.
    assert set((await articles.send("GET", "/articles/_doc/1"))["_source"]) == {"title", "text"}


async def run(command: str, cluster: Cluster, url: str) -> str:
    """What a command of the README prints, with the addresses of this test."""
    here = command.replace("http://localhost:9200", url).replace("localhost:9200", url.removeprefix("http://"))
    here = here.replace('"sidecar-1:50551", "sidecar-2:50551"', f'"{cluster.server.address}"')
    if here.startswith("cherche "):
        here = re.sub("^cherche", f"{sys.executable} -m sidecar.cli", here)
        here = here.replace(f"--url {url}", f"--server {cluster.server.address}")
    process = await asyncio.create_subprocess_exec("bash", "-c", here, cwd=ROOT, stdout=PIPE, stderr=PIPE)
    printed, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return printed.decode()
