from __future__ import annotations

import pytest

from tests.integration.gateway.clusters import JSON, Recorded, replay
from tests.integration.gateway.conftest import Http

RECORDED = [
    Recorded(
        "vLLM, documents return",
        "/rerank",
        JSON,
        b'{"model":"fake","query":"a","documents":["b","a"],"top_n":0}',
        b'{"id":"rerank-ID","model":"fake","usage":{"prompt_tokens":9,"total_tokens":9},"results":['
        b'{"index":1,"document":{"text":"a","multi_modal":null},"relevance_score":N},'
        b'{"index":0,"document":{"text":"b","multi_modal":null},"relevance_score":N}]}',
    ),
    Recorded(
        "vLLM, by a key of its own",
        "/v1/rerank",
        JSON,
        b'{"query":"a","documents":["a"],"request_id":"r1","return_documents":false}',
        b'{"id":"rerank-r1","model":"fake","usage":{"prompt_tokens":6,"total_tokens":6},"results":['
        b'{"index":0,"relevance_score":N}]}',
    ),
]


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded.name)
async def test_recorded_requests(http: Http, recorded: Recorded) -> None:
    await replay(http, recorded)


async def test_errors_are_objects(http: Http) -> None:
    got = await http("/vllm/v2/rerank", {"query": "a", "documents": ["a"], "instruction": "rank"})
    assert got.status == 422
    error = got.json["error"]
    assert (error["type"], error["param"], error["code"]) == ("INVALID_ARGUMENT", None, 422)
    assert "instruction is refused" in error["message"].replace(":", "")
