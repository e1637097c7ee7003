"""Shadow mode: the user's page is unchanged, and the hybrid search runs a second time for the log."""

from __future__ import annotations

import pytest

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
