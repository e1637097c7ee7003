from __future__ import annotations

from tests.integration.gateway.conftest import Serve, fake_model, problem, sample
from tests.integration.rpc.conftest import until


async def test_models_are_listed_with_their_aliases(serve: Serve) -> None:
    async with serve(fake_model(), aliases={"rerank-v3.5": "fake", "gone": "other"}) as http:
        listed = (await http.get("/v1/models")).json
        assert listed["object"] == "list"
        assert [(one["id"], one["root"], one["object"]) for one in listed["data"]] == [
            ("fake", "fake", "model"),
            ("rerank-v3.5", "fake", "model"),
        ]
        assert listed["data"][0]["max_model_len"] == fake_model().info.max_document_length


async def test_an_alias_answers_as_its_model_and_under_its_own_name(serve: Serve) -> None:
    async with serve(fake_model(), aliases={"rerank-v3.5": "fake"}) as http:
        got = await http("/vllm/rerank", {"model": "rerank-v3.5", "query": "a", "documents": ["a"]})
        assert (got.json["model"], got.headers["x-cherche-model"]) == ("rerank-v3.5", "fake")
        assert (await http("/es/v1/sparse", {"model": "rerank-v3.5", "input": "a"})).status == 200
        refused = await http("/v2/rerank", {"model": "rerank-v4", "query": "a", "documents": ["a"]})
        assert problem(refused) == (404, "NOT_FOUND")
        assert "CHERCHE_ALIASES" in refused.json["next_step"]


async def test_one_model_by_its_name_or_an_alias(serve: Serve) -> None:
    aliases = {"rerank-v3.5": "fake", "cherche/small": "fake"}
    async with serve(fake_model(), aliases=aliases) as http:
        listed = {one["id"]: one for one in (await http.get("/v1/models")).json["data"]}
        for name in ("fake", "rerank-v3.5", "cherche/small", "cherche%2Fsmall"):
            assert (await http.get(f"/v1/models/{name}")).json == listed[name.replace("%2F", "/")]
        assert (await http.get("/v1/models/")).json["data"] == list(listed.values())
        missing = await http.get("/v1/models/fakee")
        assert problem(missing) == (404, "NOT_FOUND")
        assert missing.json["error"]["message"].startswith("model 'fakee' is not served; served: fake")
        assert "did you mean 'fake'?" in missing.json["next_step"]
        counted = {"method": "/v1/models/{name}", "code": "NOT_FOUND"}
        await until(lambda: sample(http, "cherche_requests_total", **counted) == 1)


async def test_head_is_get_without_a_body(serve: Serve) -> None:
    model = fake_model()
    model.gate.clear()
    async with serve(model, warm=False) as http:
        assert [(await http(path, b"", "HEAD")).status for path in ("/health", "/healthz")] == [503, 503]
        model.gate.set()
        await http.server.sidecar.warm()
        for path in ("/health", "/healthz", "/info", "/v1/models", "/v1/models/fake", "/"):
            got, whole = await http(path, b"", "HEAD"), await http.get(path)
            assert (got.status, got.body) == (200, b"")
            assert got.headers["content-length"] == str(len(whole.body))
        assert (await http("/v1/models/other", b"", "HEAD")).status == 404


async def test_info_and_health_are_those_of_tei(serve: Serve) -> None:
    model = fake_model()
    model.gate.clear()
    async with serve(model, warm=False, token="s") as http:
        assert (await http.get("/health")).status == 503
        model.gate.set()
        await http.server.sidecar.warm()
        healthy = await http.get("/health")
        assert (healthy.status, healthy.body) == (200, b"")
        assert (await http.get("/info")).status == 401
        info = (await http.get("/info", authorization="Bearer s")).json
        assert info["model_id"] == "fake"
        assert "reranker" in info["model_type"]
        assert info["max_input_length"] == model.info.max_document_length
        assert info["max_client_batch_size"] == 4096
