"""Statuses that a cluster retries only where that helps, and errors that name the text."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sidecar import config
from tests.integration.gateway.conftest import Http, Serve, fake_model, problem, sample, throttled, waiting
from tests.integration.rpc.conftest import until

SPARSE = [
    ("/opensearch/v1/sparse", "input"),
    ("/es/v1/sparse", "input"),
    ("/es/elser", "inputs"),
    ("/embed_sparse", "inputs"),
    ("/v1/multivector", "input"),
]


@pytest.mark.parametrize(("path", "key"), SPARSE)
async def test_poison_is_named_and_never_retried(http: Http, path: str, key: str) -> None:
    got = await http(path, {key: ["a", "poison", "b", "notanumber"]})
    assert problem(got)[0] == 422
    assert [one["index"] for one in got.json["items"]] == [1, 3]
    assert "document 1" in got.json["reason"]
    assert not throttled(got)
    assert "retry-after" not in got.headers
    assert (await http(path, {key: ["a", "b"]})).status == 200


@pytest.mark.parametrize(("path", "key"), SPARSE)
async def test_a_text_that_is_too_large_is_cut_and_counted(serve: Serve, path: str, key: str) -> None:
    """One text over the limit failed a batch of ten; the model reads a fraction of it in any case."""
    async with serve(fake_model(), limits=config.Limits(document_bytes=100)) as http:
        got = await http(path, {key: ["a", "ü " * 60]})
        assert (got.status, got.headers["x-cherche-truncated"]) == (200, "1")
        assert sample(http, "cherche_truncated_texts_total", method=path) == 1
        if path == "/embed_sparse":
            refused = await http(path, {key: ["a", "a " * 60], "truncate": False})
            assert (refused.status, [one["index"] for one in refused.json["items"]]) == (422, [1])


async def test_a_document_that_is_too_large_is_ranked_by_its_beginning(serve: Serve) -> None:
    async with serve(fake_model(), limits=config.Limits(document_bytes=100)) as http:
        for _ in range(2):
            got = await http("/v1/rerank", {"query": "b", "documents": ["a", "b " + "a " * 60]})
            assert [one["index"] for one in got.json["results"]] == [1, 0]
            assert got.headers["x-cherche-truncated"] == "1"
            assert "x-cherche-unscored" not in got.headers


async def test_errors_quote_the_first_words(http: Http) -> None:
    """neural-search sorts a batch by length before it sends it: a position is not the caller's."""
    got = await http(
        "/opensearch/v1/sparse", {"input": ["a", "poison  in\nthe well of a village far away in the hills"]}
    )
    said = 'document 1 ("poison in the well of a village far away"...)'
    assert said in got.json["reason"]
    assert said in got.json["items"][0]["reason"]
    ranked = await http("/v1/rerank", {"query": "a", "documents": ["a", "poison"]})
    assert 'document 1 ("poison")' in ranked.json["meta"]["warnings"][0]


async def test_a_poisonous_query_is_refused(http: Http) -> None:
    assert problem(await http("/v1/rerank", {"query": "poison", "documents": ["a"]}))[0] == 422
    assert problem(await http("/v1/rerank", {"query": " ", "documents": ["a"]}))[0] == 422
    assert problem(await http("/rerank", {"query": "a " * 5000, "texts": ["a"]}))[0] == 413


async def test_a_rerank_of_poison_alone_is_refused(http: Http) -> None:
    got = await http("/v1/rerank", {"query": "a", "documents": ["", "poison"]})
    assert problem(got)[0] == 422
    assert [one["index"] for one in got.json["items"]] == [1]


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/opensearch/v1/sparse", b"", 422, "body"),
        ("/opensearch/v1/sparse", b"{", 400, "not JSON"),
        ("/opensearch/v1/sparse", b"\xff\xfe\xfd", 400, ""),
        ("/opensearch/v1/sparse", b'"a"', 422, "body"),
        ("/opensearch/v1/sparse", {}, 422, "input"),
        ("/opensearch/v1/sparse", ["a", 3], 422, "[1]"),
        ("/opensearch/v1/sparse", {"input": ["a", None]}, 422, "input[1]"),
        ("/opensearch/v1/sparse", b'{"input":["a","\\ud800"]}', 422, "document 1"),
        ("/opensearch/v1/sparse", {"input": ["a"], "model": "other"}, 404, "other"),
        ("/opensearch/v1/sparse?naming=latin", {"input": ["a"]}, 422, "naming"),
        ("/opensearch/v1/sparse?nameing=id", {"input": ["a"]}, 422, "nameing"),
        ("/cohere/v1/rerank", {"query": "a", "documents": ["a"], "top_n": 0}, 422, "top_n"),
        ("/v1/rerank", {"query": "a", "documents": [{"year": 3}]}, 422, "empty"),
        ("/v1/rerank", {"query": "a", "documents": ["a", {"image": "b"}]}, 422, "documents[1]"),
        ("/v1/rerank", {"query": "a", "documents": ["a"], "top_m": 1}, 422, "top_m"),
        ("/rerank", {"query": "a", "texts": "a"}, 422, "texts"),
        ("/rerank", b"[" * 30_000, 400, ""),
        ("/rerank", b"[" * 100_000, 413, "JSON values"),
        ("/nowhere", {}, 404, "/nowhere"),
    ],
)
async def test_mistakes_are_named(http: Http, path: str, body: object, status: int, said: str) -> None:
    got = await http(path, body)
    assert problem(got)[0] == status
    assert said in got.json["reason"]
    assert not throttled(got)


@pytest.mark.parametrize("path", ["/v1/embeddings", "/embed", "/embeddings", "/v2/embed", "/v1/embed"])
async def test_a_request_for_dense_vectors_is_told_what_there_is(http: Http, path: str) -> None:
    got = await http(path, {"input": "a", "model": "text-embedding-3-small"})
    assert problem(got) == (404, "NOT_FOUND")
    for other in ("/embed_sparse", "/v1/multivector", "/rerank"):
        assert other in got.json["next_step"]


async def test_a_mistyped_path_is_told_the_nearest(http: Http) -> None:
    assert "/v1/rerank" in (await http("/v1/rerankk", {})).json["next_step"]


async def test_another_method_is_refused(http: Http) -> None:
    got = await http.get("/v1/rerank")
    assert problem(got)[0] == 405
    assert got.headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"query": " \t\u3000", "documents": ["a"]}, "query: is empty, or white space alone"),
        (None, "body: is no JSON object"),
        (["a"], "body: is no JSON object"),
    ],
)
async def test_what_a_body_lacks_is_said_in_the_callers_terms(http: Http, body: object, said: str) -> None:
    assert (await http("/v2/rerank", body)).json["reason"] == said


async def test_users_texts_do_not_return_in_errors(http: Http) -> None:
    got = await http("/opensearch/v1/sparse", {"input": ["a", ["my secret"]]})
    assert b"secret" not in got.body


async def test_a_full_queue_is_throttled(serve: Serve) -> None:
    model = fake_model()
    limits = config.Limits(queue_items=2)
    async with serve(model, limits=limits) as http:
        model.gate.clear()
        first = asyncio.create_task(http("/opensearch/v1/sparse", {"input": ["a"]}))
        await until(lambda: model.waiting)
        second = asyncio.create_task(http("/opensearch/v1/sparse", {"input": ["b", "c"]}))
        rerank: tuple[str, Any] = "/rerank", {"query": "a", "texts": ["b"]}
        queries = [asyncio.create_task(http(*rerank)) for _ in range(2)]
        await until(lambda: waiting(http) >= 4)
        for path, body in [("/opensearch/v1/sparse", {"input": ["d"]}), rerank]:
            got = await http(path, body)
            assert problem(got) == (429, "RESOURCE_EXHAUSTED")
            assert throttled(got)
            assert int(got.headers["retry-after"]) >= 1
            assert got.json["retry_after"] >= 1
        model.gate.set()
        assert [(await one).status for one in (first, second, *queries)] == [200] * 4


async def test_a_model_that_loads_is_waited_for(serve: Serve) -> None:
    model = fake_model()
    model.gate.clear()
    async with serve(model, warm=False) as http:
        for path, body in [("/opensearch/v1/sparse", {"input": ["a"]}), ("/rerank", {"query": "a", "texts": ["b"]})]:
            got = await http(path, body)
            assert problem(got) == (503, "UNAVAILABLE")
            assert throttled(got)
            assert "retry-after" in got.headers
        assert (await http.get("/healthz")).status == 503
        model.gate.set()
        await http.server.sidecar.warm()
        assert (await http.get("/healthz")).body == b'{"status":"SERVING"}'


async def test_too_many_texts_are_refused(serve: Serve) -> None:
    async with serve(fake_model(), limits=config.Limits(items=3)) as http:
        for path, body in [
            ("/opensearch/v1/sparse", {"input": ["a"] * 4}),
            ("/v1/rerank", {"query": "a", "documents": ["a"] * 4}),
        ]:
            assert problem(await http(path, body)) == (400, "INVALID_ARGUMENT")


async def test_queries_overtake_documents(serve: Serve) -> None:
    model = fake_model()
    async with serve(model, batching=config.Batching(tokens=64, max_wait=60)) as http:
        model.gate.clear()
        holding = asyncio.create_task(http("/es/elser", {"inputs": ["hold"]}))
        await until(lambda: model.waiting)
        documents = asyncio.create_task(http("/opensearch/v1/sparse", {"input": ["w " * 50] * 4}))
        await until(lambda: waiting(http) >= 4)
        query = asyncio.create_task(http("/opensearch/v1/sparse", {"input": ["q"], "content_type": "query"}))
        await until(lambda: sample(http, "cherche_queue_texts", model="fake", lane="query") == 1)
        passes = len(model.batches)
        model.gate.set()
        assert [(await one).status for one in (holding, query, documents)] == [200, 200, 200]
        assert model.batches[passes:][1] == [3], "the query goes before the documents that came first"
