from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar.gateway.connectors import TEXT_FIELD
from sidecar.values.encoded import Text
from tests.integration.gateway.clusters import ML_COMMONS, ONCE, TEXTS, Recorded, ml_commons, replay, requests, send
from tests.integration.gateway.conftest import Http, fake_model

RECORDED = [
    Recorded(
        "ml-commons, template of print-connector",
        "/opensearch/v1/sparse",
        ML_COMMONS,
        b'{ "input": ["a . .","z\\u00fcrich"], "content_type": "passage", "sparse_embedding_format": "word" }',
        b'{"response":[{"%2E":1.0976562,"h3651":0.6933594},{"z\\u00fcrich":0.6933594}]}',
    ),
    Recorded(
        "ml-commons, bare array of a SageMaker template, no content type",
        "/opensearch/v1/sparse",
        {},
        b'["a"]',
        b'{"response":[{"h3651":0.6933594}]}',
    ),
    Recorded(
        "ml-commons, cohere.embedding pre-process",
        "/opensearch/v1/sparse",
        ML_COMMONS,
        b'{"texts":["a"],"truncate":"END"}',
        b'{"response":[{"h3651":0.6933594}]}',
    ),
    Recorded(
        "ml-commons, text_docs input",
        "/opensearch/v1/sparse",
        ML_COMMONS,
        b'{"text_docs":["a"]}',
        b'{"response":[{"h3651":0.6933594}]}',
    ),
    Recorded(
        "ml-commons, seismic field, enumerations in capitals",
        "/opensearch/v1/sparse",
        ML_COMMONS,
        b'{ "input": ["a ."], "content_type": "PASSAGE", "sparse_embedding_format": "TOKEN_ID" }',
        b'{"response":[{"4":0.6933594,"3657":0.6933594}]}',
    ),
]


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded.name)
async def test_recorded_requests(http: Http, recorded: Recorded) -> None:
    await replay(http, recorded)


def connectors(model: str, release: tuple[int, int] | None = None) -> list[Any]:
    made = requests("opensearch", "custom", "sparse", model, release)
    return [one.body for one in made if "connectors" in one.path]


@pytest.mark.parametrize("model", ["", "fake"])
@pytest.mark.parametrize("content_type", ["query", "passage"])
async def test_the_connector(protected: Http, model: str, content_type: str) -> None:
    """neural-search 3.5 fills `texts`, `content_type` and the format of a model that is registered as asymmetric."""
    [connector] = connectors(model)
    assert "pre_process_function" not in connector["actions"][0]
    given = {"texts": json.dumps(TEXTS, ensure_ascii=False), "content_type": content_type}
    got = await send(protected, ml_commons(connector, given | {"sparse_embedding_format": "TOKEN_ID"}))
    assert [bool(one) for one in got.json["response"]] == [True, False, True]
    assert all(name.isdecimal() for one in got.json["response"] for name in one)


def test_the_model_is_asymmetric_and_its_pipeline_reads_a_field_of_its_own() -> None:
    *_, model, pipeline = requests("opensearch", "custom", "sparse", "")
    assert model.body["model_config"] == {
        "model_type": "SPARSE_ENCODING",
        "additional_config": {"is_asymmetric": True},
    }
    *_, encoding = pipeline.body["processors"]
    assert encoding["sparse_encoding"]["field_map"] == {TEXT_FIELD: "text_sparse"}


async def test_before_3_5_queries_have_a_model_of_their_own(http: Http) -> None:
    words = await http.server.client.encode_queries([Text("a")])
    passage, query = connectors("", (3, 4))
    for connector, side in [(passage, "passage"), (query, "query")]:
        assert connector["actions"][0]["pre_process_function"] == "connector.pre_process.default.embedding"
        path, body, _ = ml_commons(connector, {"input": json.dumps(["a"])})
        assert json.loads(body)["content_type"] == side
        [weights] = (await http(path, body)).json["response"]
        expected = float(ONCE) if side == "passage" else words.items[0].weights["h3651"]
        assert weights == {"h3651": pytest.approx(expected)}


def test_a_bulk_is_retried_until_its_time_is_up() -> None:
    """Three retries end after 1.5 s: 320 of 512 documents failed so, none with -1."""
    [connector] = connectors("")
    client = connector["client_config"]
    assert (client["max_retry_times"], client["retry_timeout_seconds"]) == (-1, 60)


async def test_raw_names_are_on_request(http: Http) -> None:
    got = await http("/opensearch/v1/sparse?naming=raw", {"input": ["node"]})
    assert list(got.json["response"][0]) == ["node.js"]
    got = await http("/opensearch/v1/sparse", {"input": ["node"]})
    assert list(got.json["response"][0]) == ["node%2Ejs"]


@pytest.mark.parametrize("text", ["${parameters.input}", "${parameters.unknown} a", "$${a}", "${credential.api_key}"])
async def test_placeholders_are_text(http: Http, text: str) -> None:
    got = await http("/opensearch/v1/sparse", {"input": [text, "a"]})
    first, second = got.json["response"]
    assert len(first) > 2
    assert second == {"h3651": pytest.approx(float(ONCE))}


async def test_a_placeholder_that_was_not_filled_is_named(http: Http) -> None:
    got = await http("/opensearch/v1/sparse", {"input": ["a"], "content_type": "${parameters.content_type}"})
    assert got.status == 422
    assert "content_type" in got.json["reason"]
    assert "${parameters.content_type}" in got.json["reason"]


async def test_many_texts_keep_count_and_order(http: Http) -> None:
    words = [f"w{i}" for i in range(200)]
    texts = [word if i % 7 else "" for i, word in enumerate(words)]
    maps = (await http("/opensearch/v1/sparse", {"input": texts})).json["response"]
    model = fake_model()
    expected = [{model.info.vocabulary[model.token_id(text)]} if text else set() for text in texts]
    assert [set(one) for one in maps] == expected
