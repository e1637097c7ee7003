from __future__ import annotations

import json

import pytest

from sidecar.gateway.connectors import EXAMPLE
from tests.integration.gateway.clusters import ELASTIC, ONCE, TEXTS, Recorded, replay, requests, send
from tests.integration.gateway.conftest import Http, Serve, fake_model, spelled

RECORDED = [
    Recorded(
        "Elasticsearch hugging_face, sparse",
        "/es/elser",
        ELASTIC,
        b'{"inputs":["a .",""]}',
        b'[{"%2E":0.6933594,"h3651":0.6933594},{}]',
    ),
    Recorded(
        "Elasticsearch hugging_face, tokens of an analyzer",
        "/es/elser?naming=raw",
        ELASTIC,
        b'{"inputs":["a ."]}',
        b'[{".":0.6933594,"h3651":0.6933594}]',
    ),
]


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded.name)
async def test_recorded_requests(http: Http, recorded: Recorded) -> None:
    await replay(http, recorded)


@pytest.mark.parametrize("model", ["", "fake"])
async def test_the_connector(protected: Http, model: str) -> None:
    headers = {"authorization": "Bearer TOKEN", "content-type": "application/json"}
    both = requests("elasticsearch", "hugging_face", "sparse", model)
    assert ["input_type=document" in one.body["service_settings"]["url"] for one in both] == [True, False]
    for one in both:
        address = one.body["service_settings"]["url"].removeprefix(EXAMPLE)
        maps = (await send(protected, (address, json.dumps({"inputs": [*TEXTS, "."]}).encode(), headers))).json
        assert maps[1] == {}
        assert not any("." in term for one in maps for term in one)


async def test_a_vocabulary_that_repeats_itself_is_refused_as_words_and_served_as_ids(serve: Serve) -> None:
    model = spelled(fake_model(), {"one": "same", "two": "same"})
    async with serve(model) as http:
        refused = await http("/es/elser", {"inputs": ["a"]})
        assert (refused.status, refused.json["error_type"]) == (400, "FAILED_PRECONDITION")
        assert "naming=id" in refused.json["next_step"]
        assert (await http("/es/elser?naming=id", {"inputs": ["a"]})).json == [{"3657": pytest.approx(float(ONCE))}]
