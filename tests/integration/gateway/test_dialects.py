"""Each dialect, answered to requests as the products send them; bytes are compared."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest

from sidecar.testing import FakeModel
from sidecar.values.encoded import Text
from tests.integration.gateway.conftest import Http, Serve, fake_model, spelled

# log1p(1) and log1p(2) on the 9-bit grid of an index, 0.693359375 and 1.09765625, as the shortest float32.
ONCE, TWICE = "0.6933594", "1.0976562"

ML_COMMONS = {"content_type": "application/json", "user_agent": "aws-sdk-java/2.32"}
ELASTIC = {"content_type": "application/json; charset=UTF-8", "user_agent": "Apache-HttpAsyncClient/4.1.5"}

RECORDED = [
    (
        "ml-commons, template of print-connector",
        "/opensearch/v1/sparse",
        ML_COMMONS,
        b'{ "input": ["a . .","z\\u00fcrich"], "content_type": "passage", "sparse_embedding_format": "word" }',
        b'{"response":[{".":1.0976562,"h3651":0.6933594},{"z\\u00fcrich":0.6933594}]}',
    ),
    (
        "ml-commons, bare array of a SageMaker template, no content type",
        "/opensearch/v1/sparse",
        {},
        b'["a"]',
        b'{"response":[{"h3651":0.6933594}]}',
    ),
    (
        "ml-commons, cohere.embedding pre-process",
        "/opensearch/v1/sparse",
        ML_COMMONS,
        b'{"texts":["a"],"truncate":"END"}',
        b'{"response":[{"h3651":0.6933594}]}',
    ),
    (
        "ml-commons, text_docs input",
        "/opensearch/v1/sparse",
        ML_COMMONS,
        b'{"text_docs":["a"]}',
        b'{"response":[{"h3651":0.6933594}]}',
    ),
    (
        "ml-commons, seismic field, enumerations in capitals",
        "/opensearch/v1/sparse",
        ML_COMMONS,
        b'{ "input": ["a ."], "content_type": "PASSAGE", "sparse_embedding_format": "TOKEN_ID" }',
        b'{"response":[{"4":0.6933594,"3657":0.6933594}]}',
    ),
    (
        "ml-commons rerank, cohere.rerank pre-process",
        "/v1/rerank",
        ML_COMMONS,
        b'{ "documents": ["b","a",""], "query": "a", "model": "", "top_n": 3 }',
        b'{"results":[{"index":1,"relevance_score":N},{"index":0,"relevance_score":N},{"index":2,"relevance_score":N}]}',
    ),
    (
        "Elasticsearch custom, rerank",
        "/v1/rerank",
        ELASTIC,
        b'{"query": "a", "documents": ["b","a"]}',
        b'{"results":[{"index":1,"relevance_score":N},{"index":0,"relevance_score":N}]}',
    ),
    (
        "Elasticsearch hugging_face, rerank with texts",
        "/rerank",
        ELASTIC,
        b'{"texts":["b","z\\u00fcrich a"],"query":"a","return_text":true,"top_n":2}',
        b'[{"index":1,"score":N,"text":"z\\u00fcrich a"},{"index":0,"score":N,"text":"b"}]',
    ),
    (
        "TEI client, rerank",
        "/rerank",
        {"content_type": "application/json"},
        b'{"query":"a","texts":["b","a"],"raw_scores":false,"return_text":false,"truncate":false}',
        b'[{"index":1,"score":N},{"index":0,"score":N}]',
    ),
    (
        "Cohere client, rerank",
        "/v1/rerank",
        {"content_type": "application/json", "authorization": "Bearer none"},
        b'{"model":"fake","query":"a","documents":["b","a"],"top_n":1,"return_documents":true}',
        b'{"results":[{"index":1,"relevance_score":N,"document":{"text":"a"}}]}',
    ),
    (
        "token embeddings",
        "/v1/multivector",
        {"content_type": "application/json"},
        b'{"input":["a",""]}',
        b'{"model":"fake","dim":16,"embeddings":[[[' + b",".join([b"N"] * 16) + b"]],[]]}",
    ),
    (
        "Elasticsearch custom, sparse",
        "/es/v1/sparse",
        ELASTIC,
        b'{"input": ["a",""], "input_type": "document"}',
        b'{"result":{"sparse_embeddings":[{"index":0,"embedding":[{"token":"h3651","weight":0.6933594}]},'
        b'{"index":1,"embedding":[]}]}}',
    ),
    (
        "Elasticsearch hugging_face, sparse",
        "/es/elser",
        ELASTIC,
        b'{"inputs":["a .",""]}',
        b'[{".":0.6933594,"h3651":0.6933594},{}]',
    ),
    (
        "Elasticsearch hugging_face before 8.16, sparse",
        "/es/elser?naming=escaped",
        ELASTIC,
        b'{"inputs":["a ."]}',
        b'[{"%2E":0.6933594,"h3651":0.6933594}]',
    ),
    (
        "TEI, one text",
        "/embed_sparse",
        {"content_type": "application/json"},
        b'{"inputs":"a .","truncate":true,"prompt_name":null}',
        b'[[{"index":4,"value":0.6933594},{"index":3657,"value":0.6933594}]]',
    ),
]


@pytest.mark.parametrize(
    ("path", "headers", "request_", "answer"), [one[1:] for one in RECORDED], ids=[one[0] for one in RECORDED]
)
async def test_recorded_requests(
    http: Http, path: str, headers: dict[str, str], request_: bytes, answer: bytes
) -> None:
    """Byte by byte; N stands for a Double whose last digit is the processor's."""
    got = await http(path, request_, **headers)
    assert got.status == 200, got.body
    assert got.headers["content-type"] == "application/json"
    body = re.sub(rb"-?\d+\.\d+(e[+-]\d+)?", b"N", got.body) if b"N" in answer else got.body
    assert body == answer


async def test_the_grid_is_that_of_the_index(http: Http) -> None:
    """What the dialects answer is what an index of ours would hold."""
    [maps] = (await http("/opensearch/v1/sparse", {"input": ["a . ."]})).json["response"]
    [item] = (await http.server.client.encode_documents([Text("a . .")])).items
    held = item.weights
    assert {term: float(np.float32(weight)) for term, weight in maps.items()} == {
        ".": held["%2E"],
        "h3651": held["h3651"],
    }
    assert float(np.float32(ONCE)) == held["h3651"]
    assert float(np.float32(TWICE)) == held["%2E"]


async def test_queries_are_encoded_as_queries(http: Http) -> None:
    query = await http.server.client.encode_queries([Text("a")])
    expected = query.items[0].weights["h3651"]
    for path, body in [
        ("/opensearch/v1/sparse", {"input": ["a"], "content_type": "Query"}),
        ("/es/v1/sparse", {"input": ["a"], "input_type": "search"}),
        ("/es/elser?input_type=query", {"inputs": ["a"]}),
        ("/embed_sparse", {"inputs": ["a"], "prompt_name": "query"}),
    ]:
        got = await http(path, body)
        [number] = re.findall(rb"\d+\.\d+", got.body)
        assert np.float32(float(number)) == np.float32(expected), path


async def test_rerank_equals_the_rerank_over_grpc(http: Http) -> None:
    texts = ["blue sky", "a red car", "car", "red"]
    expected = await http.server.client.rerank("red car", [Text(text) for text in texts])
    cohere = (await http("/v1/rerank", {"query": "red car", "documents": texts})).json["results"]
    tei = (await http("/rerank", {"query": "red car", "texts": texts})).json
    ours = [(one.index, np.float32(one.score)) for one in expected.scores]
    assert [(one["index"], np.float32(one["relevance_score"])) for one in cohere] == ours
    assert [(one["index"], np.float32(one["score"])) for one in tei] == ours


async def test_every_score_is_a_double(http: Http) -> None:
    """json-smart reads 5 as Integer and more than 18 characters as BigDecimal; both fail a search."""
    texts = ["a", "", "a b c", "zürich a", "nothing"]
    for path, body, key in [
        ("/v1/rerank", {"query": "a", "documents": texts}, "relevance_score"),
        ("/rerank", {"query": "a", "texts": texts}, "score"),
    ]:
        got = await http(path, body)
        literals = re.findall(rf'"{key}":([^,}}]+)', got.body.decode())
        assert len(literals) == len(texts)
        for literal in literals:
            assert re.fullmatch(r"-?\d+\.\d+(e[+-]\d+)?", literal)
            assert len(literal) <= 17


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


async def test_a_document_is_encoded_for_one_rerank_only(http: Http, model: FakeModel) -> None:
    long = " ".join(["a"] * 500)
    first = await http("/v1/rerank", {"query": "a", "documents": ["b a", long, ""]})
    passes = len(model.batches)
    again = await http("/rerank", {"query": "a", "texts": ["", long, "b a", "c"]})
    encoded = sorted(length for batch in model.batches[passes:] for length in batch)
    assert encoded == [3, 3], "the query and the one new document"
    scores = {one["index"]: one["relevance_score"] for one in first.json["results"]}
    ranked = {one["index"]: one["score"] for one in again.json}
    assert (ranked[1], ranked[2]) == (scores[1], scores[0])
    assert first.headers["x-cherche-truncated"] == again.headers["x-cherche-truncated"] == "1"
    refused = await http("/rerank", {"query": "a", "texts": ["b a", long], "truncate": False})
    assert (refused.status, [one["index"] for one in refused.json["items"]]) == (422, [1])


async def test_only_empty_documents_all_get_the_floor(http: Http) -> None:
    got = await http("/v1/rerank", {"query": "a", "documents": ["", ""]})
    assert got.body == b'{"results":[{"index":0,"relevance_score":-2.0},{"index":1,"relevance_score":-2.0}]}'
    assert (await http("/v1/rerank", {"query": "a", "documents": []})).body == b'{"results":[]}'
    assert (await http("/opensearch/v1/sparse", {"input": []})).body == b'{"response":[]}'


async def test_top_n_and_texts_are_returned_where_asked_for(http: Http) -> None:
    got = await http(
        "/v1/rerank", {"query": "a", "documents": ["b", {"text": "a ü"}], "top_n": 1, "return_documents": True}
    )
    [one] = got.json["results"]
    assert (one["index"], one["document"]) == (1, {"text": "a ü"})
    [tei] = (await http("/rerank", {"query": "a", "texts": ["b", "a ü"], "top_n": 1, "return_text": True})).json
    assert tei["text"] == "a ü"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/opensearch/v1/sparse", {"input": ["zürich \U0001f697 東京"]}),
        ("/es/v1/sparse", {"input": ["zürich"]}),
        ("/es/elser", {"inputs": ["zürich"]}),
        ("/v1/rerank", {"query": "zürich", "documents": ["zürich \U0001f697"], "return_documents": True}),
        ("/rerank", {"query": "zürich", "texts": ["東京 \U0001f697"], "return_text": True}),
        ("/opensearch/v1/sparse", {"input": ["a"], "content_type": "zürich"}),
        ("/v1/multivector", {"input": ["zürich"], "model": "zürich"}),
    ],
)
async def test_answers_are_ascii(http: Http, path: str, body: object) -> None:
    """ml-commons decodes an answer buffer by buffer: a character of two bytes may be cut in the middle."""
    got = await http(path, body)
    assert got.body.isascii()
    assert got.json


@pytest.mark.parametrize("text", ["${parameters.input}", "${parameters.unknown} a", "$${a}", "${credential.api_key}"])
async def test_placeholders_are_text(http: Http, text: str) -> None:
    got = await http("/opensearch/v1/sparse", {"input": [text, "a"]})
    first, second = got.json["response"]
    assert len(first) > 2
    assert second == {"h3651": pytest.approx(float(ONCE))}
    got = await http("/v1/rerank", {"query": text, "documents": [text, "b"]})
    assert got.json["results"][0]["index"] == 0


async def test_a_placeholder_that_was_not_filled_is_named(http: Http) -> None:
    got = await http("/opensearch/v1/sparse", {"input": ["a"], "content_type": "${parameters.content_type}"})
    assert got.status == 422
    assert "content_type" in got.json["reason"]
    assert "${parameters.content_type}" in got.json["reason"]


async def test_a_query_that_is_json_itself_breaks_the_template_and_is_explained(http: Http) -> None:
    got = await http("/v1/rerank", b'{ "documents": ["a"], "query": "["a"]" }')
    assert (got.status, got.json["error_type"]) == (400, "INVALID_ARGUMENT")
    assert "template" in got.json["next_step"]


async def test_many_texts_keep_count_and_order(http: Http) -> None:
    words = [f"w{i}" for i in range(200)]
    texts = [word if i % 7 else "" for i, word in enumerate(words)]
    maps = (await http("/opensearch/v1/sparse", {"input": texts})).json["response"]
    model = fake_model()
    expected = [{model.info.vocabulary[model.token_id(text)]} if text else set() for text in texts]
    assert [set(one) for one in maps] == expected


async def test_multivector(http: Http) -> None:
    got = await http("/v1/multivector", {"input": ["a b", "", "a"]})
    answer = got.json
    two, none, one = answer["embeddings"]
    assert (answer["model"], answer["dim"]) == ("fake", 16)
    assert (np.shape(two), none, np.shape(one)) == ((2, 16), [], (1, 16))
    assert two[0] == one[0]
    assert math.isclose(float(np.linalg.norm(one[0])), 1.0, rel_tol=1e-6)


async def test_answers_name_what_made_them(http: Http) -> None:
    long = " ".join(["a"] * 500)
    got = await http("/opensearch/v1/sparse", {"input": ["a", long, long]})
    assert got.headers["x-cherche-model"] == "fake"
    assert re.fullmatch(r"[0-9a-f]{64}", got.headers["x-cherche-fingerprint"])
    assert got.headers["x-cherche-truncated"] == "1,2"
    assert re.fullmatch(
        r"tokenize;dur=[\d.]+, queue;dur=[\d.]+, encode;dur=[\d.]+, total;dur=[\d.]+", got.headers["server-timing"]
    )
    refused = await http("/embed_sparse", {"inputs": ["a", long], "truncate": False})
    assert (refused.status, [one["index"] for one in refused.json["items"]]) == (422, [1])
    assert (await http("/embed_sparse", {"inputs": ["a"], "truncate": False})).status == 200


async def test_a_vocabulary_that_repeats_itself_is_refused_as_words_and_served_as_ids(serve: Serve) -> None:
    model = spelled(fake_model(), {"one": "same", "two": "same"})
    async with serve(model) as http:
        refused = await http("/es/elser", {"inputs": ["a"]})
        assert (refused.status, refused.json["error_type"]) == (400, "FAILED_PRECONDITION")
        assert "naming=id" in refused.json["next_step"]
        assert (await http("/es/elser?naming=id", {"inputs": ["a"]})).json == [{"3657": pytest.approx(float(ONCE))}]


async def test_each_dialect_finds_the_model_with_its_head(serve: Serve) -> None:
    sparse, colbert = fake_model(name="s", late_interaction=False), fake_model(name="c", sparse=False)
    async with serve(sparse, colbert) as http:
        assert (await http("/es/elser", {"inputs": ["a"]})).headers["x-cherche-model"] == "s"
        assert (await http("/rerank", {"query": "a", "texts": ["a"]})).headers["x-cherche-model"] == "c"
        wrong = await http("/rerank?model=s", {"query": "a", "texts": ["a"]})
        assert (wrong.status, wrong.json["error_type"]) == (400, "FAILED_PRECONDITION")


async def test_of_several_rerankers_one_must_be_named(serve: Serve) -> None:
    sparse = fake_model(name="s", late_interaction=False)
    rerankers = [fake_model(name=name, sparse=False) for name in ("c", "d")]
    async with serve(sparse, *rerankers) as http:
        vague = await http("/v1/rerank", {"query": "a", "documents": ["a"]})
        assert vague.status == 400
        assert "c, d" in vague.json["reason"]
        named = await http("/v1/rerank", {"query": "a", "documents": ["a"], "model": "d"})
        assert named.headers["x-cherche-model"] == "d"


async def test_the_document_is_served(http: Http) -> None:
    document = (await http.get("/openapi.json")).json
    assert set(document["paths"]) == {
        "/opensearch/v1/sparse",
        "/es/v1/sparse",
        "/es/elser",
        "/embed_sparse",
        "/v1/rerank",
        "/rerank",
        "/v1/multivector",
        "/healthz",
    }
    assert json.dumps(document)
