"""The requests that print-connector prints, played as the clusters play them, against a real gateway."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from sidecar.gateway.connectors import CONNECTORS, EXAMPLE, Request
from tests.integration.gateway.conftest import Answer, Http, Serve, fake_model

TEXTS = ["red car", "", 'a "quoted" \\ text\nof ${parameters.x}']


def ml_commons(connector: Mapping[str, Any], parameters: Mapping[str, str]) -> tuple[str, bytes, dict[str, str]]:
    """Fill a connector's template: strings are escaped, arrays inserted as they are."""
    [action] = connector["actions"]
    told = {**connector["parameters"], **parameters}
    body = re.sub(r"\$\{parameters\.(\w+)\}", lambda found: told[found[1]], action["request_body"])
    headers = {
        name: value.replace("${credential.api_key}", connector["credential"]["api_key"])
        for name, value in action["headers"].items()
    }
    return action["url"].removeprefix(EXAMPLE), body.encode(), headers


def escaped(text: str) -> str:
    return json.dumps(text)[1:-1]


def elastic(settings: Mapping[str, Any], values: Mapping[str, object]) -> tuple[str, bytes, dict[str, str]]:
    """Fill a custom service's template: every value is JSON already."""
    body = re.sub(r"\$\{(\w+)\}", lambda found: json.dumps(values[found[1]]), settings["request"])
    key = settings["secret_parameters"]["api_key"]
    headers = {name: value.replace("${api_key}", key) for name, value in settings["headers"].items()}
    return settings["url"].removeprefix(EXAMPLE), body.encode(), headers


def follow(path: str, value: Any) -> Any:
    """Elasticsearch's small path language: ``$.a[*].b``, lists stay nested."""
    for part in re.findall(r"\.(\w+)|(\[\*\])", path):
        value = each(part[0], value) if part[0] else value
    return value


def each(name: str, value: Any) -> Any:
    return [each(name, one) for one in value] if isinstance(value, list) else value[name]


async def send(http: Http, call: tuple[str, bytes, dict[str, str]]) -> Answer:
    path, body, headers = call
    got = await http(path, body, **headers)
    assert got.status == 200, got.body
    return got


def made(product: str, service: str, task: str, model: str) -> list[Request]:
    [make] = [make for key, make in CONNECTORS.items() if key == (product, service, task)]
    return make(EXAMPLE, model)


@pytest.fixture
async def guarded(serve: Serve) -> Any:
    async with serve(fake_model(), token="TOKEN") as http:
        yield http


@pytest.mark.parametrize("model", ["", "fake"])
async def test_opensearch_sparse(guarded: Http, model: str) -> None:
    connector = next(one.body for one in made("opensearch", "custom", "sparse", model) if "connectors" in one.path)
    call = ml_commons(connector, {"input": json.dumps(TEXTS, ensure_ascii=False), "content_type": "query"})
    maps = (await send(guarded, call)).json["response"]
    assert [bool(one) for one in maps] == [True, False, True]


@pytest.mark.parametrize("model", ["", "fake"])
async def test_opensearch_rerank(guarded: Http, model: str) -> None:
    connector = next(one.body for one in made("opensearch", "custom", "rerank", model) if "connectors" in one.path)
    parameters = {"query": escaped('a "red" car\n'), "documents": json.dumps(TEXTS), "top_n": str(len(TEXTS))}
    results = (await send(guarded, ml_commons(connector, parameters))).json["results"]
    assert sorted(one["index"] for one in results) == [0, 1, 2]
    assert all(type(one["relevance_score"]) is float for one in results)


@pytest.mark.parametrize("model", ["", "fake"])
async def test_elasticsearch_custom_sparse(guarded: Http, model: str) -> None:
    [request] = made("elasticsearch", "custom", "sparse", model)
    settings = request.body["service_settings"]
    for purpose in settings["input_type"]["translation"].values():
        answer = (await send(guarded, elastic(settings, {"input": TEXTS, "input_type": purpose}))).json
        parser = settings["response"]["json_parser"]
        tokens, weights = follow(parser["token_path"], answer), follow(parser["weight_path"], answer)
        assert [len(one) for one in tokens] == [len(one) for one in weights]
        assert [bool(one) for one in tokens] == [True, False, True]


@pytest.mark.parametrize("model", ["", "fake"])
async def test_elasticsearch_custom_rerank(guarded: Http, model: str) -> None:
    [request] = made("elasticsearch", "custom", "rerank", model)
    settings = request.body["service_settings"]
    answer = (await send(guarded, elastic(settings, {"query": "red car", "input": TEXTS}))).json
    parser = settings["response"]["json_parser"]
    assert follow(parser["reranked_index"], answer) == [0, 2, 1]
    assert len(follow(parser["relevance_score"], answer)) == 3


@pytest.mark.parametrize("model", ["", "fake"])
async def test_elasticsearch_hugging_face(guarded: Http, model: str) -> None:
    headers = {"authorization": "Bearer TOKEN", "content-type": "application/json"}
    [sparse] = made("elasticsearch", "hugging_face", "sparse", model)
    address = sparse.body["service_settings"]["url"].removeprefix(EXAMPLE)
    maps = (await send(guarded, (address, json.dumps({"inputs": [*TEXTS, "."]}).encode(), headers))).json
    assert maps[1] == {}
    assert not any("." in term for one in maps for term in one)
    [rerank] = made("elasticsearch", "hugging_face", "rerank", model)
    address = rerank.body["service_settings"]["url"].removeprefix(EXAMPLE)
    body = {"texts": TEXTS, "query": "red car", "return_text": True, "top_n": 2}
    ranked = (await send(guarded, (address, json.dumps(body).encode(), headers))).json
    assert [(one["index"], one["text"]) for one in ranked] == [(0, TEXTS[0]), (2, TEXTS[2])]
