"""The best device there is, in its own type, against float32 on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cherche_models import hub, scores
from cherche_models.runtime import torch_maxsim
from cherche_models.runtime.device import pick_device
from cherche_models.types import TokenEmbeddings
from tests import checkpoints

pytestmark = pytest.mark.gpu
TEXTS = ["neural sparse search.", "the brain, of a cell", "", "protein " * 90]


@pytest.mark.parametrize(("dtype", "cosine"), [("fp32", 0.99999), ("bf16", 0.998), (None, 0.998)])
def test_encodings_agree(dtype: str | None, cosine: float, tmp_path: Path) -> None:
    folder = checkpoints.masked_lm(tmp_path / "base")
    joint = hub.load(folder, device="cpu", dtype="fp32", architecture="joint", new_head=True, dim=16)
    hub.save(joint, tmp_path / "joint")
    best = hub.load(tmp_path / "joint", dtype=dtype)
    assert best.device.type == pick_device().type
    for kind in ("document", "query"):
        for here, there in zip(joint.encode(TEXTS, kind), best.encode(TEXTS, kind), strict=True):
            norms = [np.linalg.norm(e.weights.weights) for e in (here, there)]
            assert here.weights.dot(there.weights) / np.prod(norms) > cosine
            alike = (here.embeddings.vectors * there.embeddings.vectors).sum(axis=1)
            assert alike.min() > 2 * cosine - 1


def test_short_queries_agree(tmp_path: Path) -> None:
    folder = checkpoints.masked_lm(tmp_path / "base")
    exact = hub.load(folder, device="cpu", dtype="fp32", architecture="splade")
    best = hub.load(folder, dtype="fp32", architecture="splade")
    for texts in (["neural sparse search."], ["the brain"], ["neural sparse search.", "the brain", "a cell"]):
        for _ in range(2):  # the first may be recorded, see `runtime.graphs`
            for here, there in zip(exact.encode(texts, "query"), best.encode(texts, "query"), strict=True):
                norms = [np.linalg.norm(e.weights.weights) for e in (here, there)]
                assert here.weights.dot(there.weights) / np.prod(norms) > 0.99999
    if best.device.type == "cuda":
        assert "CUDA graph" in best.queries


def test_maxsim_agrees() -> None:
    rng = np.random.default_rng(0)
    texts = [TokenEmbeddings(rng.standard_normal((n, 32)).astype(np.float32)) for n in (7, 0, 150, 1)]
    documents = scores.pack(texts)
    found = torch_maxsim.maxsim(texts, torch_maxsim.PackedTensor.of(documents, pick_device(), torch.float32))
    expected = np.stack([scores.maxsim(query, documents) for query in texts])
    np.testing.assert_allclose(found, expected, rtol=1e-4)
