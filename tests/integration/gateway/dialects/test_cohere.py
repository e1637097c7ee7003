from __future__ import annotations

import json

import pytest

from tests.integration.gateway.clusters import (
    ELASTIC,
    ML_COMMONS,
    TEXTS,
    Recorded,
    elastic,
    escaped,
    follow,
    ml_commons,
    replay,
    requests,
    send,
)
from tests.integration.gateway.conftest import Http

RECORDED = [
    Recorded(
        "ml-commons rerank, cohere.rerank pre-process",
        "/v1/rerank",
        ML_COMMONS,
        b'{ "documents": ["b","a",""], "query": "a", "model": "", "top_n": 3 }',
        b'{"results":[{"index":1,"relevance_score":N},{"index":0,"relevance_score":N},{"index":2,"relevance_score":N}]}',
    ),
    Recorded(
        "Elasticsearch custom, rerank",
        "/v1/rerank",
        ELASTIC,
        b'{"query": "a", "documents": ["b","a"]}',
        b'{"results":[{"index":1,"relevance_score":N},{"index":0,"relevance_score":N}]}',
    ),
    Recorded(
        "Cohere client, rerank",
        "/v1/rerank",
        {"content_type": "application/json", "authorization": "Bearer none"},
        b'{"model":"fake","query":"a","documents":["b","a"],"top_n":1,"return_documents":true}',
        b'{"results":[{"index":1,"relevance_score":N,"document":{"text":"a"}}]}',
    ),
]


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded.name)
async def test_recorded_requests(http: Http, recorded: Recorded) -> None:
    await replay(http, recorded)


@pytest.mark.parametrize("model", ["", "fake"])
async def test_the_connector_of_opensearch(protected: Http, model: str) -> None:
    connector = next(one.body for one in requests("opensearch", "custom", "rerank", model) if "connectors" in one.path)
    parameters = {"query": escaped('a "red" car\n'), "documents": json.dumps(TEXTS), "top_n": str(len(TEXTS))}
    results = (await send(protected, ml_commons(connector, parameters))).json["results"]
    assert sorted(one["index"] for one in results) == [0, 1, 2]
    assert all(type(one["relevance_score"]) is float for one in results)


@pytest.mark.parametrize("model", ["", "fake"])
async def test_the_connector_of_elasticsearch(protected: Http, model: str) -> None:
    [request] = requests("elasticsearch", "custom", "rerank", model)
    settings = request.body["service_settings"]
    answer = (await send(protected, elastic(settings, {"query": "red car", "input": TEXTS}))).json
    parser = settings["response"]["json_parser"]
    assert follow(parser["reranked_index"], answer) == [0, 2, 1]
    assert len(follow(parser["relevance_score"], answer)) == 3


async def test_every_document_is_in_the_answer(http: Http) -> None:
    """The cluster sizes its array by the results: a missing one breaks the search."""
    texts = ["a", "", "  ", "poison", "b a", "notanumber"]
    got = await http("/v1/rerank", {"query": "a", "documents": texts, "top_n": len(texts)})
    results = got.json["results"]
    assert sorted(one["index"] for one in results) == list(range(len(texts)))
    scores = {one["index"]: one["relevance_score"] for one in results}
    floor = scores[1]
    assert {place for place, score in scores.items() if score == floor} == {1, 2, 3, 5}
    assert floor < min(scores[0], scores[4])
    assert floor < -1, "one query token: no similarity is below -1"
    warnings = got.json["meta"]["warnings"]
    assert ["document 3" in warnings[0], "document 5" in warnings[1], len(warnings)] == [True, True, 2]
    assert got.headers["x-cherche-unscored"] == "3,5"
    assert [one["relevance_score"] for one in results] == sorted(scores.values(), reverse=True)


async def test_only_empty_documents_all_get_the_floor(http: Http) -> None:
    got = await http("/v1/rerank", {"query": "a", "documents": ["", ""]})
    assert got.body == b'{"results":[{"index":0,"relevance_score":-2.0},{"index":1,"relevance_score":-2.0}]}'
    assert (await http("/v1/rerank", {"query": "a", "documents": []})).body == b'{"results":[]}'


async def test_top_n_and_texts_are_returned_on_request(http: Http) -> None:
    got = await http(
        "/v1/rerank", {"query": "a", "documents": ["b", {"text": "a ü"}], "top_n": 1, "return_documents": True}
    )
    [one] = got.json["results"]
    assert (one["index"], one["document"]) == (1, {"text": "a ü"})


@pytest.mark.parametrize("text", ["${parameters.input}", "${parameters.unknown} a", "$${a}", "${credential.api_key}"])
async def test_placeholders_are_text(http: Http, text: str) -> None:
    got = await http("/v1/rerank", {"query": text, "documents": [text, "b"]})
    assert got.json["results"][0]["index"] == 0


async def test_a_query_that_is_json_itself_breaks_the_template_and_is_explained(http: Http) -> None:
    got = await http("/v1/rerank", b'{ "documents": ["a"], "query": "["a"]" }')
    assert (got.status, got.json["error_type"]) == (400, "INVALID_ARGUMENT")
    assert "template" in got.json["next_step"]
