from __future__ import annotations

import pytest

from tests.integration.gateway.clusters import JSON, Recorded, replay
from tests.integration.gateway.conftest import Http

RECORDED = [
    Recorded(
        "Jina's own path",
        "/jina/v1/rerank",
        JSON,
        b'{"model":"fake","query":"a","documents":["b","a"],"top_n":1}',
        b'{"model":"fake","object":"list","usage":{"total_tokens":9,"prompt_tokens":9},'
        b'"results":[{"index":1,"relevance_score":N,"document":{"text":"a"}}]}',
    ),
    Recorded(
        "a shared path, by a key of Jina's",
        "/v1/rerank",
        JSON,
        b'{"query":"a","documents":[{"text":"a"}],"return_documents":false,"return_embeddings":false}',
        b'{"model":"fake","object":"list","usage":{"total_tokens":6,"prompt_tokens":6},'
        b'"results":[{"index":0,"relevance_score":N}]}',
    ),
]


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded.name)
async def test_recorded_requests(http: Http, recorded: Recorded) -> None:
    await replay(http, recorded)


async def test_errors_have_a_detail(http: Http) -> None:
    got = await http("/jina/v1/rerank", {"query": "a", "documents": [{"image": "a"}]})
    assert got.status == 422
    assert got.json["detail"] == got.json["error"]
    assert "documents[0]" in got.json["detail"]
