from __future__ import annotations

import json

import pytest

from tests.integration.gateway.clusters import ML_COMMONS, ONCE, TEXTS, Recorded, ml_commons, replay, requests, send
from tests.integration.gateway.conftest import Http, fake_model

RECORDED = [
    Recorded(
        "ml-commons, template of print-connector",
        "/opensearch/v1/sparse",
        ML_COMMONS,
        b'{ "input": ["a . .","z\\u00fcrich"], "content_type": "passage", "sparse_embedding_format": "word" }',
        b'{"response":[{".":1.0976562,"h3651":0.6933594},{"z\\u00fcrich":0.6933594}]}',
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


@pytest.mark.parametrize("model", ["", "fake"])
async def test_the_connector(protected: Http, model: str) -> None:
    connector = next(one.body for one in requests("opensearch", "custom", "sparse", model) if "connectors" in one.path)
    call = ml_commons(connector, {"input": json.dumps(TEXTS, ensure_ascii=False), "content_type": "query"})
    maps = (await send(protected, call)).json["response"]
    assert [bool(one) for one in maps] == [True, False, True]


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
