"""Heads that start from nothing lost, and end narrow."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cherche_models.train import head
from tests.unit.cherche_models.train.conftest import EXAMPLES, Load

TEXTS = [text for example in EXAMPLES for text in (example.positive, *example.negatives)]


@pytest.mark.parametrize("architecture", ["colbert", "joint"])
def test_an_identity_gives_the_hidden_states_themselves(architecture: str, load: Load) -> None:
    model = load(architecture)
    head.identity(model)
    given = model.collate(model.tokenize(TEXTS[:2], "document"), "document")
    hidden = torch.nn.functional.normalize(model.backbone(*given), dim=-1)
    torch.testing.assert_close(model(*given).embeddings, hidden)


def test_principal_components_keep_similarities(load: Load) -> None:
    """All of them keep every one; few keep them better than as many plain coordinates do."""
    model = load("colbert")
    head.identity(model)
    (wide,) = (one.embeddings.vectors for one in model.encode(TEXTS[:1], "document"))
    width = wide.shape[1]
    head.narrow(model, TEXTS, width)
    (turned,) = (one.embeddings.vectors for one in model.encode(TEXTS[:1], "document"))
    np.testing.assert_allclose(turned @ turned.T, wide @ wide.T, atol=1e-4)
    few = width // 4
    head.narrow(model, TEXTS, few)
    (kept,) = (one.embeddings.vectors for one in model.encode(TEXTS[:1], "document"))
    cut = wide[:, :few] / np.linalg.norm(wide[:, :few], axis=1, keepdims=True)
    assert np.abs(kept @ kept.T - wide @ wide.T).mean() < np.abs(cut @ cut.T - wide @ wide.T).mean()


def test_what_a_model_cannot_do_is_refused_before_training(load: Load) -> None:
    with pytest.raises(ValueError, match="splade model has no projection"):
        head.identity(load("splade"))
    with pytest.raises(ValueError, match="8 dimensions: they cannot be reduced to 9"):
        head.check_narrow(load("colbert"), 9)
    with pytest.raises(ValueError, match="query_length is 9999: the encoder reads"):
        head.lengthen(load("colbert"), {"query": 9999, "document": None})
