from __future__ import annotations

import asyncio
import json

import pytest

from sidecar import config
from sidecar.gateway import sparse
from tests.integration.gateway.conftest import Http, Serve, fake_model, problem, sample, waiting
from tests.integration.rpc.conftest import until

JSON = {"content-type": "application/json"}


async def test_the_deadline_is_kept(serve: Serve) -> None:
    model = fake_model()
    async with serve(model, limits=config.Limits(deadline=0.3)) as http:
        model.gate.clear()
        got = await http("/opensearch/v1/sparse", {"input": ["a"]})
        assert problem(got) == (504, "DEADLINE_EXCEEDED")
        model.gate.set()


async def test_a_caller_that_leaves_frees_its_place(serve: Serve) -> None:
    model = fake_model()
    async with serve(model) as http:
        model.gate.clear()
        holding = asyncio.create_task(http("/opensearch/v1/sparse", {"input": ["hold"]}))
        await until(lambda: model.waiting)
        connection = http.connect()
        body = json.dumps({"input": ["gone"] * 5})
        await asyncio.to_thread(connection.request, "POST", "/opensearch/v1/sparse", body, JSON)
        await until(lambda: waiting(http) >= 5)
        connection.close()
        await until(
            lambda: sample(http, "cherche_requests_total", method="/opensearch/v1/sparse", code="CANCELLED") == 1
        )
        passes = len(model.batches)
        model.gate.set()
        assert (await holding).status == 200
        assert (await http("/opensearch/v1/sparse", {"input": ["next"]})).status == 200
        assert all(len(batch) == 1 for batch in model.batches[passes:]), "the five are not encoded"


async def test_a_request_that_is_too_large_is_refused_before_it_is_read(serve: Serve) -> None:
    async with serve(fake_model(), limits=config.Limits(request_bytes=2048)) as http:
        assert problem(await http("/opensearch/v1/sparse", {"input": ["a " * 2000]})) == (413, "INVALID_ARGUMENT")
        announced = await asyncio.to_thread(announce, http, 1 << 30)
        assert announced == 413
        assert problem(await http("/v1/multivector", {"input": ["a b c d e f g h i j k l"]}))[0] == 413
        assert (await http("/opensearch/v1/sparse", {"input": ["a"]})).status == 200


def announce(http: Http, size: int) -> int:
    connection = http.connect()
    try:
        connection.putrequest("POST", "/opensearch/v1/sparse")
        connection.putheader("content-length", str(size))
        connection.putheader("content-type", "application/json")
        connection.endheaders()
        return connection.getresponse().status
    finally:
        connection.close()


async def test_a_defect_is_a_typed_error(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    async with serve(fake_model()) as http:
        monkeypatch.setattr(sparse, "leaving_weights", broken)
        assert problem(await http("/es/elser", {"inputs": ["a"]})) == (500, "INTERNAL")


async def test_the_token_is_that_of_grpc(serve: Serve) -> None:
    async with serve(fake_model(), token="s3cret") as http:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "s3cret"}):
            got = await http("/es/elser", {"inputs": ["a"]}, **headers)
            assert problem(got) == (401, "UNAUTHENTICATED")
            assert got.headers["www-authenticate"] == "Bearer"
        for scheme in ("Bearer", "BEARER", "bearer"):
            assert (await http("/es/elser", {"inputs": ["a"]}, authorization=f"{scheme} s3cret")).status == 200
        assert (await http.get("/openapi.json")).status == 401
        assert (await http.get("/healthz")).status == 200


async def test_requests_are_counted_like_calls(http: Http) -> None:
    await http("/opensearch/v1/sparse", {"input": ["a", ""]})
    await http("/opensearch/v1/sparse", {"input": ["a", "poison"]})
    await http("/v1/rerank", {"query": "a", "documents": ["a", "poison"]})
    await http("/some/scanner.php", {})
    path = "/opensearch/v1/sparse"
    await until(lambda: sample(http, "cherche_requests_total", method="other", code="NOT_FOUND") == 1)
    assert sample(http, "cherche_requests_total", method=path, code="OK") == 1
    assert sample(http, "cherche_requests_total", method=path, code="INVALID_ARGUMENT") == 1
    assert sample(http, "cherche_items_total", method=path, outcome="ok") == 3
    assert sample(http, "cherche_items_total", method=path, outcome="failed") == 1
    assert sample(http, "cherche_items_total", method="/v1/rerank", outcome="failed") == 1
    assert (sample(http, "cherche_stage_duration_seconds_count", stage="rerank") or 0) >= 1
