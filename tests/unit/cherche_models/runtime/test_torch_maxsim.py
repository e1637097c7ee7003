from __future__ import annotations

import numpy as np
import pytest
import torch

from cherche_models import scores
from cherche_models.runtime import torch_maxsim
from cherche_models.runtime.torch_maxsim import PackedTensor
from cherche_models.types import TokenEmbeddings


def texts(sizes: list[int], seed: int, dim: int = 8) -> list[TokenEmbeddings]:
    rng = np.random.default_rng(seed)
    return [TokenEmbeddings(rng.standard_normal((size, dim)).astype(np.float32)) for size in sizes]


@pytest.mark.parametrize("at_once", [1 << 24, 40])
def test_equal_to_numpy(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_maxsim, "_SIMILARITIES", at_once)
    queries, documents = texts([3, 1, 0, 7], 0), scores.pack(texts([5, 0, 1, 12], 1))
    found = torch_maxsim.maxsim(queries, PackedTensor.of(documents))
    expected = np.stack([scores.maxsim(query, documents) for query in queries])
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_negative_similarities_stay_negative() -> None:
    query = TokenEmbeddings(np.array([[1, 0]], np.float32))
    document = TokenEmbeddings(np.array([[-1, 0], [-0.5, 0]], np.float32))
    found = torch_maxsim.maxsim([query], PackedTensor.of(scores.pack([document, document])))
    assert found.tolist() == [[-0.5, -0.5]]


def test_bf16_documents_are_close() -> None:
    queries, documents = texts([8], 0), scores.pack(texts([20, 30], 1))
    found = torch_maxsim.maxsim(queries, PackedTensor.of(documents, dtype=torch.bfloat16))
    np.testing.assert_allclose(found[0], scores.maxsim(queries[0], documents), rtol=0.02)


def test_nothing_on_either_side() -> None:
    documents = PackedTensor.of(scores.pack([]))
    assert torch_maxsim.maxsim(texts([2], 0), documents).shape == (1, 0)
    assert torch_maxsim.maxsim([], PackedTensor.of(scores.pack(texts([2], 0)))).shape == (0, 1)


def test_different_rerankers_are_refused() -> None:
    with pytest.raises(ValueError, match="encode both with the same model"):
        torch_maxsim.maxsim(texts([2], 0, dim=4), PackedTensor.of(scores.pack(texts([2], 0))))
