from __future__ import annotations

from tests.integration.gateway.conftest import Serve, fake_model


async def test_each_dialect_finds_the_model_with_its_head(serve: Serve) -> None:
    sparse, colbert = fake_model(name="s", late_interaction=False), fake_model(name="c", sparse=False)
    async with serve(sparse, colbert) as http:
        assert (await http("/es/elser", {"inputs": ["a"]})).headers["x-cherche-model"] == "s"
        assert (await http("/rerank", {"query": "a", "texts": ["a"]})).headers["x-cherche-model"] == "c"
        wrong = await http("/rerank?model=s", {"query": "a", "texts": ["a"]})
        assert (wrong.status, wrong.json["code"]) == (400, "FAILED_PRECONDITION")


async def test_of_several_rerankers_one_must_be_named(serve: Serve) -> None:
    sparse = fake_model(name="s", late_interaction=False)
    rerankers = [fake_model(name=name, sparse=False) for name in ("c", "d")]
    async with serve(sparse, *rerankers) as http:
        vague = await http("/v1/rerank", {"query": "a", "documents": ["a"]})
        assert vague.status == 400
        assert "c, d" in vague.json["reason"]
        named = await http("/v1/rerank", {"query": "a", "documents": ["a"], "model": "d"})
        assert named.headers["x-cherche-model"] == "d"
