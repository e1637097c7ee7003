from __future__ import annotations

import re

import numpy as np

from sidecar.testing import FakeModel
from sidecar.values.encoded import Text
from tests.integration.gateway.conftest import Http


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
