from __future__ import annotations

import json
import re

import pytest

from sidecar.gateway.connectors import TEXT_FIELD
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
        b'{"id":"ID","results":[{"index":1,"relevance_score":N},{"index":0,"relevance_score":N},'
        b'{"index":2,"relevance_score":N}],"meta":{"api_version":{"version":"1"},"billed_units":{"search_units":N}}}',
    ),
    Recorded(
        "Elasticsearch custom, rerank",
        "/v1/rerank",
        ELASTIC,
        b'{"query": "a", "documents": ["b","a"]}',
        b'{"id":"ID","results":[{"index":1,"relevance_score":N},{"index":0,"relevance_score":N}],'
        b'"meta":{"api_version":{"version":"1"},"billed_units":{"search_units":N}}}',
    ),
    Recorded(
        "Cohere client, rerank",
        "/v1/rerank",
        {"content_type": "application/json", "authorization": "Bearer none"},
        b'{"model":"fake","query":"a","documents":["b","a"],"top_n":1,"return_documents":true}',
        b'{"id":"ID","results":[{"index":1,"relevance_score":N,"document":{"text":"a"}}],'
        b'"meta":{"api_version":{"version":"1"},"billed_units":{"search_units":N}}}',
    ),
    Recorded(
        "Cohere client, version 2",
        "/v2/rerank",
        {"content_type": "application/json", "authorization": "Bearer none"},
        b'{"model":"fake","query":"a","documents":["b","a"],"top_n":1}',
        b'{"id":"ID","results":[{"index":1,"relevance_score":N}],'
        b'"meta":{"api_version":{"version":"2"},"billed_units":{"search_units":N}}}',
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


def test_the_cluster_joins_texts_and_expands_nothing() -> None:
    """neural-search glues several document_fields together; ml-commons expands ${parameters.query} in a document."""
    made = requests("opensearch", "custom", "rerank", "")
    bodies = {one.path: one.body for one in made}
    [rerank, _] = bodies["/_search/pipeline/cherche-rerank"]["response_processors"]
    assert rerank["rerank"]["context"]["document_fields"] == [TEXT_FIELD]
    joined, neutral = bodies["/_ingest/pipeline/cherche-text"]["processors"]
    assert joined["set"] == {"field": TEXT_FIELD, "value": "{{{title}}} {{{text}}}"}
    gsub = neutral["gsub"]
    replacement = gsub["replacement"].replace("\\$", "$")  # a dollar is a group to Java
    assert re.sub(gsub["pattern"], replacement, "a ${parameters.query} $${b}") == "a $ {parameters.query} $$ {b}"


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


async def test_only_empty_documents_are_no_order(http: Http) -> None:
    """Equal scores would replace the cluster's own: an error leaves its order as it is (ignore_failure)."""
    got = await http("/v1/rerank", {"query": "a", "documents": ["", " "]})
    assert got.status == 422
    assert "document_fields" in got.json["next_step"]
    assert [one["index"] for one in got.json["items"]] == [0, 1]
    assert (await http("/rerank", {"query": "a", "texts": [""]})).status == 422
    assert (await http("/v1/rerank", {"query": "a", "documents": []})).json["results"] == []


async def test_objects_are_ranked_by_their_fields_in_order(http: Http) -> None:
    documents = [{"title": "b", "text": "c"}, {"title": "a", "body": "x"}, "c"]
    for body, best in [({}, 1), ({"rank_fields": ["title"]}, 1)]:
        got = await http("/v1/rerank", {"query": "a", "documents": documents, "return_documents": True, **body})
        first = got.json["results"][0]
        assert (first["index"], first["document"]) == (best, documents[best])
    one = await http("/v2/rerank", {"query": "a", "documents": [{"t": "a", "u": "b"}], "rank_fields": ["u", "t"]})
    other = await http("/v2/rerank", {"query": "a", "documents": ["b a"]})
    assert one.json["results"] == other.json["results"], "joined by one space"


async def test_a_rank_field_that_no_document_has_is_named(http: Http) -> None:
    body = {"query": "a", "documents": [{"text": "a", "t": "a"}], "rank_fields": ["titel", "t"]}
    got = await http("/v1/rerank", body)
    assert got.json["meta"]["warnings"] == ["rank_fields 'titel' is in no document"]
    assert "titel" in got.headers["x-cherche-warnings"]


async def test_search_units_are_queries_with_up_to_a_hundred_documents(http: Http) -> None:
    for count, units in [(1, 1.0), (100, 1.0), (101, 2.0)]:
        got = await http("/v2/rerank", {"query": "a", "documents": ["a"] * count})
        assert got.json["meta"]["billed_units"] == {"search_units": units}


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
