from __future__ import annotations

import pytest

from tests.integration.gateway.clusters import JSON, Recorded, replay
from tests.integration.gateway.conftest import Http

RECORDED = [
    Recorded(
        "Voyage, by top_k",
        "/v1/rerank",
        JSON,
        b'{"query":"a","documents":["b","a"],"model":"fake","top_k":1,"truncation":true,"return_documents":true}',
        b'{"object":"list","data":[{"relevance_score":N,"index":1,"document":"a"}],"model":"fake",'
        b'"usage":{"total_tokens":9}}',
    ),
]


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded.name)
async def test_recorded_requests(http: Http, recorded: Recorded) -> None:
    await replay(http, recorded)


async def test_a_text_that_would_be_cut_is_refused_on_request(http: Http) -> None:
    long = " ".join(["a"] * 500)
    got = await http("/voyage/v1/rerank", {"query": "a", "documents": ["a", long], "truncation": False})
    assert (got.status, got.json["detail"]) == (422, got.json["error"])
    assert [one["index"] for one in got.json["items"]] == [1]
