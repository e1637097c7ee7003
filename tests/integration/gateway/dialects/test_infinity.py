from __future__ import annotations

import re

from tests.integration.gateway.conftest import Http


async def test_documents_return_as_strings(http: Http) -> None:
    body = {"query": "a", "documents": ["b", "a"], "raw_scores": True, "return_documents": True, "top_n": 1}
    got = (await http("/rerank", body)).json
    [first] = got.pop("results")
    assert (first["index"], first["document"]) == (1, "a")
    assert re.fullmatch(r"infinity-[0-9a-f-]{36}", got.pop("id"))
    assert got.pop("created") > 1_700_000_000
    assert got == {"object": "rerank", "model": "fake", "usage": {"prompt_tokens": 9, "total_tokens": 9}}


async def test_its_own_path(http: Http) -> None:
    got = await http("/infinity/rerank", {"query": "a", "documents": ["a"]})
    assert got.headers["x-cherche-dialect"] == "infinity"
    assert got.json["results"][0]["document"] is None
