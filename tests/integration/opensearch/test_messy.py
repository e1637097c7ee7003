"""The life of an index as people have them, beside cherche: what the engine takes in is what it holds in the end."""

from __future__ import annotations

import pytest

from tests.messy.life import live

pytestmark = [pytest.mark.java, pytest.mark.timeout(600)]
DOCUMENTS = 1000


async def test_a_messy_index_is_whole_after_every_stage(opensearch_url: str) -> None:
    counts = await live(opensearch_url, DOCUMENTS)
    assert counts["removed"]["documents"] > 0
