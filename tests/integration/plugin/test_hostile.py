"""A sidecar that answers with too much, with something else, without end or not at all costs a search its deadline."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.benchmarks.hostile import WAYS, hostile
from tests.integration.plugin.cluster import Cluster
from tests.integration.plugin.conftest import LONG_DEADLINE
from tests.integration.plugin.requests import ids, page, search, search_pipeline, until

pytestmark = [pytest.mark.java, pytest.mark.timeout(600)]

AT_ONCE = 16
TYPED = {"UNAVAILABLE", "DEADLINE"}


def ext(reply: dict[str, Any]) -> dict[str, Any]:
    return dict(reply["ext"]["cherche"])


@pytest.mark.parametrize("way", WAYS)
async def test_searches_are_answered_whatever_a_sidecar_says(fed: Cluster, way: str) -> None:
    pipeline = await search_pipeline(fed, {"rerank": True, "maxsim": "sidecar"})
    known = [f"car word {n} {way}" for n in range(AT_ONCE)]
    fresh = [f"film word {n} {way}" for n in range(AT_ONCE)]
    for text in known:
        assert ext(await search(fed, page(text), pipeline))["rerank_status"] == "APPLIED"
    plain = {text: ids(await search(fed, page(text))) for text in fresh}
    await fed.settings(query__deadline="500ms", rerank__deadline="500ms", breaker__failures=10_000)
    async with hostile(way) as address:
        await fed.settings(endpoints=[address])
        for _ in range(2):  # what is wrong once must not be worse when it is asked for again
            replies = await asyncio.gather(*(search(fed, page(text), pipeline) for text in (*known, *fresh)))
            for text, reply in zip((*known, *fresh), replies, strict=True):
                said = ext(reply)
                assert len(ids(reply)) == 10
                assert "cherche_codes" not in str(reply)
                assert said["rerank_status"] in TYPED, said
                assert said["rerank_reason"], said
                if text in plain:
                    assert said["query_status"] in ({"NO_TERMS"} if way == "empty" else TYPED), said
                    assert ids(reply) == plain[text]
        assert (await fed.stats())["breaker_open"] is False
    # The node lives, holds none of it, and goes on with a sidecar as it should be.
    await fed.settings(endpoints=[fed.server.address], query__deadline=LONG_DEADLINE, rerank__deadline=LONG_DEADLINE)

    async def is_back() -> bool:
        return ext(await search(fed, page(f"car {way} again"), pipeline))["rerank_status"] == "APPLIED"

    await until(is_back)
