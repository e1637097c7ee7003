from __future__ import annotations

import re

import numpy as np

from sidecar.values.encoded import Text
from tests.integration.gateway.clusters import ONCE, TWICE
from tests.integration.gateway.conftest import Http


async def test_the_grid_is_that_of_the_index(http: Http) -> None:
    """What the dialects answer is what an index of ours would hold."""
    [maps] = (await http("/opensearch/v1/sparse", {"input": ["a . ."]})).json["response"]
    [item] = (await http.server.client.encode_documents([Text("a . .")])).items
    held = item.weights
    assert {term: float(np.float32(weight)) for term, weight in maps.items()} == held
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


async def test_no_text_is_no_answer(http: Http) -> None:
    assert (await http("/opensearch/v1/sparse", {"input": []})).body == b'{"response":[]}'
