"""MaxSim on the best device there is agrees with numpy's."""

from __future__ import annotations

import numpy as np
import pytest

from cherche_models import codec
from cherche_models.runtime.device import pick_device
from cherche_models.types import TokenEmbeddings
from sidecar.models.library import maxsim_on

pytestmark = pytest.mark.gpu


def unit_rows(rows: int, seed: int) -> TokenEmbeddings:
    vectors = np.random.default_rng(seed).normal(size=(rows, 64)).astype(np.float32)
    return TokenEmbeddings(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


@pytest.mark.parametrize("device", sorted({"cpu", pick_device().type}))
def test_maxsim_is_the_same_on_every_device(device: str) -> None:
    query = unit_rows(12, 0)
    codes = [codec.pack_codes(unit_rows(rows, rows)) for rows in (3, 180, 1)]
    found = maxsim_on(device)(query, [*codes, None])
    assert np.allclose(found[:3], codec.maxsim(query, codes), atol=1e-4)
    assert found[3] == -np.inf


def test_a_device_that_is_not_there_is_named_at_the_first_call() -> None:
    with pytest.raises(ValueError, match=r"is not available|unknown device"):
        maxsim_on("cuda:99")(unit_rows(1, 0), [])
