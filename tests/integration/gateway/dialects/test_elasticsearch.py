from __future__ import annotations

import pytest

from tests.integration.gateway.clusters import ELASTIC, TEXTS, Recorded, elastic, follow, replay, requests, send
from tests.integration.gateway.conftest import Http

RECORDED = [
    Recorded(
        "Elasticsearch custom, sparse",
        "/es/v1/sparse",
        ELASTIC,
        b'{"input": ["a",""], "input_type": "document"}',
        b'{"result":{"sparse_embeddings":[{"index":0,"embedding":[{"token":"h3651","weight":0.6933594}]},'
        b'{"index":1,"embedding":[]}]}}',
    ),
]


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded.name)
async def test_recorded_requests(http: Http, recorded: Recorded) -> None:
    await replay(http, recorded)


@pytest.mark.parametrize("model", ["", "fake"])
async def test_the_connector(protected: Http, model: str) -> None:
    documents, queries = requests("elasticsearch", "custom", "sparse", model)
    settings = documents.body["service_settings"]
    assert settings["input_type"]["default"] == "document"
    assert queries.body["service_settings"]["input_type"]["default"] == "query", "of INTERNAL_SEARCH"
    for purpose in settings["input_type"]["translation"].values():
        answer = (await send(protected, elastic(settings, {"input": TEXTS, "input_type": purpose}))).json
        parser = settings["response"]["json_parser"]
        tokens, weights = follow(parser["token_path"], answer), follow(parser["weight_path"], answer)
        assert [len(one) for one in tokens] == [len(one) for one in weights]
        assert [bool(one) for one in tokens] == [True, False, True]
