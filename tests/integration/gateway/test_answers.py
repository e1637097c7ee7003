from __future__ import annotations

import re

import pytest

from tests.integration.gateway.conftest import Http


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


async def test_answers_name_what_made_them(http: Http) -> None:
    long = " ".join(["a"] * 500)
    got = await http("/opensearch/v1/sparse", {"input": ["a", long, long]})
    assert got.headers["x-cherche-model"] == "fake"
    assert re.fullmatch(r"[0-9a-f]{64}", got.headers["x-cherche-fingerprint"])
    assert got.headers["x-cherche-truncated"] == "1,2"
    assert re.fullmatch(
        r"tokenize;dur=[\d.]+, queue;dur=[\d.]+, encode;dur=[\d.]+, total;dur=[\d.]+", got.headers["server-timing"]
    )
