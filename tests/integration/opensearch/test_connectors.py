"""Processors of the printed pipelines, on real clusters."""

from __future__ import annotations

import pytest

from sidecar.gateway.connectors import TEXT_FIELD, text_processors
from tests.integration.opensearch.corpus import Send


@pytest.fixture
def product() -> str:
    """The one that these pipelines are printed for."""
    return "opensearch"


async def test_texts_are_joined_by_a_space_and_hold_nothing_to_expand(send: Send) -> None:
    documents = [
        {"title": "Sleep", "text": 'Slow-wave "sleep"\n<b>'},
        {"text": "aspirin"},
        {"title": "a ${parameters.query}", "text": "$${b} ${parameters.input}"},
        {},
    ]
    body = {"pipeline": {"processors": text_processors()}, "docs": [{"_source": one} for one in documents]}
    answer = await send("POST", "/_ingest/pipeline/_simulate", body)
    assert [one["doc"]["_source"][TEXT_FIELD].strip() for one in answer["docs"]] == [
        'Sleep Slow-wave "sleep"\n<b>',
        "aspirin",
        "a $ {parameters.query} $$ {b} $ {parameters.input}",
        "",
    ]
