from __future__ import annotations

import math

import numpy as np
import pytest

from tests.integration.gateway.clusters import JSON, Recorded, replay
from tests.integration.gateway.conftest import Http

RECORDED = [
    Recorded(
        "token embeddings",
        "/v1/multivector",
        JSON,
        b'{"input":["a",""]}',
        b'{"model":"fake","dim":16,"embeddings":[[[' + b",".join([b"N"] * 16) + b"]],[]]}",
    ),
]


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded.name)
async def test_recorded_requests(http: Http, recorded: Recorded) -> None:
    await replay(http, recorded)


async def test_multivector(http: Http) -> None:
    got = await http("/v1/multivector", {"input": ["a b", "", "a"]})
    answer = got.json
    two, none, one = answer["embeddings"]
    assert (answer["model"], answer["dim"]) == ("fake", 16)
    assert (np.shape(two), none, np.shape(one)) == ((2, 16), [], (1, 16))
    assert two[0] == one[0]
    assert math.isclose(float(np.linalg.norm(one[0])), 1.0, rel_tol=1e-6)
