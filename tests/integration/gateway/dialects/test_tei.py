from __future__ import annotations

import json

import pytest

from sidecar.gateway.connectors import EXAMPLE
from tests.integration.gateway.clusters import ELASTIC, JSON, TEXTS, Recorded, replay, requests, send
from tests.integration.gateway.conftest import Http

RECORDED = [
    Recorded(
        "Elasticsearch hugging_face, rerank with texts",
        "/rerank",
        ELASTIC,
        b'{"texts":["b","z\\u00fcrich a"],"query":"a","return_text":true,"top_n":2}',
        b'[{"index":1,"score":N,"text":"z\\u00fcrich a"},{"index":0,"score":N,"text":"b"}]',
    ),
    Recorded(
        "TEI client, rerank",
        "/rerank",
        JSON,
        b'{"query":"a","texts":["b","a"],"raw_scores":false,"return_text":false,"truncate":false}',
        b'[{"index":1,"score":N},{"index":0,"score":N}]',
    ),
    Recorded(
        "TEI, one text",
        "/embed_sparse",
        JSON,
        b'{"inputs":"a .","truncate":true,"prompt_name":null}',
        b'[[{"index":4,"value":0.6933594},{"index":3657,"value":0.6933594}]]',
    ),
]


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded.name)
async def test_recorded_requests(http: Http, recorded: Recorded) -> None:
    await replay(http, recorded)


@pytest.mark.parametrize("model", ["", "fake"])
async def test_the_connector_of_elasticsearch(protected: Http, model: str) -> None:
    headers = {"authorization": "Bearer TOKEN", "content-type": "application/json"}
    [rerank] = requests("elasticsearch", "hugging_face", "rerank", model)
    address = rerank.body["service_settings"]["url"].removeprefix(EXAMPLE)
    body = {"texts": TEXTS, "query": "red car", "return_text": True, "top_n": 2}
    ranked = (await send(protected, (address, json.dumps(body).encode(), headers))).json
    assert [(one["index"], one["text"]) for one in ranked] == [(0, TEXTS[0]), (2, TEXTS[2])]


async def test_a_truncated_text_is_refused_on_request(http: Http) -> None:
    long = " ".join(["a"] * 500)
    refused = await http("/embed_sparse", {"inputs": ["a", long], "truncate": False})
    assert (refused.status, [one["index"] for one in refused.json["items"]]) == (422, [1])
    assert (await http("/embed_sparse", {"inputs": ["a"], "truncate": False})).status == 200


@pytest.mark.parametrize("path", ["/embed_sparse", "/rerank"])
async def test_texts_are_cut_at_their_end_alone(http: Http, path: str) -> None:
    body = {"inputs": ["a"]} if path == "/embed_sparse" else {"query": "a", "texts": ["a"]}
    assert (await http(path, {**body, "truncation_direction": "Right"})).status == 200
    refused = await http(path, {**body, "truncation_direction": "Left"})
    assert refused.status == 422
    assert refused.json["error"].startswith("truncation_direction: is refused: texts are cut at their end")


async def test_top_n_and_texts_are_returned_on_request(http: Http) -> None:
    [tei] = (await http("/rerank", {"query": "a", "texts": ["b", "a ü"], "top_n": 1, "return_text": True})).json
    assert tei["text"] == "a ü"


async def test_what_is_cut_on_the_left_is_refused_and_scores_are_raw(http: Http) -> None:
    body = {"query": "a", "texts": ["a"], "truncation_direction": "Left"}
    refused = await http("/rerank", body)
    assert (refused.status, refused.json["error_type"], refused.json["code"]) == (422, "validation", "INVALID_ARGUMENT")
    assert "truncation_direction" in refused.json["error"]
    right = await http("/rerank", body | {"truncation_direction": "Right", "raw_scores": False})
    assert right.headers["x-cherche-warnings"].startswith("raw_scores is ignored")
    assert "x-cherche-warnings" not in (await http("/rerank", body | {"truncation_direction": "right"})).headers


async def test_headers_of_tei(http: Http) -> None:
    got = await http("/rerank", {"query": "a b", "texts": ["a", "b c"]})
    assert (got.headers["x-compute-type"], got.headers["x-compute-characters"]) == ("cpu", "7")
    assert got.headers["x-compute-tokens"] == str(4 + 3 + 4), "with two special tokens each"
    times = ("tokenization", "queue", "inference", "compute", "total")
    assert all(got.headers[f"x-{name}-time"].isdecimal() for name in times)
