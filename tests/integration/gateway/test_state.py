from __future__ import annotations

from tests.integration.gateway.conftest import Serve, fake_model, problem


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
