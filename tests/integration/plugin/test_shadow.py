"""Shadow mode: the user's page is unchanged, and the hybrid search runs a second time for the log."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from cherche_models.evaluate.shadow import Shadowed, query_key, read_shadow
from tests.integration.plugin.cluster import Cluster
from tests.integration.plugin.requests import ids, page, search, search_pipeline, until

pytestmark = [pytest.mark.java, pytest.mark.timeout(900)]  # the first builds the plugin and starts the node


@pytest.mark.parametrize("inline", [False, True], ids=["named pipeline", "pipeline in the request"])
async def test_the_users_page_is_shown_and_the_search_repeated(fed: Cluster, inline: bool) -> None:
    options = {"rerank": True, "mode": "shadow"}
    before = await fed.stats()
    if inline:
        brought = {"request_processors": [{"cherche_query": options}], "response_processors": [{"cherche_rerank": {}}]}
        reply = await search(fed, {**page("car word film"), "search_pipeline": brought})
    else:
        reply = await search(fed, page("car word film"), await search_pipeline(fed, options))
    assert ids(reply) == ids(await search(fed, page("car word film")))
    assert reply["ext"]["cherche"]["query_status"] == "SHADOW"

    async def is_compared() -> bool:
        return bool((await fed.stats())["pages_reranked"] > before["pages_reranked"])

    await until(is_compared)
    assert (await fed.stats())["shadow_searches"] == before["shadow_searches"] + 1


async def test_its_line_of_the_log_is_what_tune_reads(fed: Cluster) -> None:
    reply = await search(fed, page("car  Word film"), await search_pipeline(fed, {"rerank": True, "mode": "shadow"}))
    nodes = await fed.send("GET", "/_nodes/settings", flat_settings="true")
    [node] = nodes["nodes"].values()
    log = Path(node["settings"]["path.logs"]).with_name("node.log")
    found: list[Shadowed] = []

    async def is_logged() -> bool:
        with suppress(ValueError):  # not yet
            found[:] = read_shadow(log, fed.index)
        return bool(found)

    await until(is_logged)
    assert found[-1].key == query_key("car word film")
    assert list(found[-1].shown) == ids(reply)
    assert len(found[-1].hybrid) == len(found[-1].shown)
    assert found[-1].rerank_status == "APPLIED"
    assert found[-1].hybrid_ms >= 0
