from __future__ import annotations

import pytest

from tests.integration.gateway.clusters import JSON, Recorded, replay
from tests.integration.gateway.conftest import Http

RECORDED = [
    Recorded(
        "Together, objects return as they came",
        "/together/v1/rerank",
        JSON,
        b'{"model":"fake","query":"a","documents":[{"t":"b"},{"t":"a","n":1}],"top_n":1,"rank_fields":["t"],'
        b'"return_documents":true}',
        b'{"object":"rerank","id":"ID","model":"fake","results":[{"index":1,"relevance_score":N,'
        b'"document":{"t":"a","n":1}}],"usage":{"prompt_tokens":9,"completion_tokens":0,"total_tokens":9}}',
    ),
]


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded.name)
async def test_recorded_requests(http: Http, recorded: Recorded) -> None:
    await replay(http, recorded)


async def test_a_rank_field_that_no_document_has_is_named(http: Http) -> None:
    body = {"model": "fake", "query": "a", "documents": [{"t": "a"}], "rank_fields": ["titel", "t"]}
    got = await http("/together/v1/rerank", body)
    assert "titel" in got.headers["x-cherche-warnings"]
