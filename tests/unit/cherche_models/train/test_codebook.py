"""A codebook is trained on the token embeddings of a model."""

from __future__ import annotations

import numpy as np
import pytest

from cherche_models import codec
from cherche_models.models import Joint, Splade
from cherche_models.train.codebook import train_codebook

TEXTS = [f"neural search of the brain, protein {i} of a cell" for i in range(40)]


def test_codes_of_a_model_come_back_near(joint: Joint) -> None:
    book = train_codebook(joint, TEXTS, 8)
    joint.codebook = None
    (document,) = joint.encode(TEXTS[:1], "document")
    assert document.embeddings is not None
    found = codec.unpack_codes(codec.pack_codes(document.embeddings, "residual4", book=book))
    assert np.einsum("td,td->t", found.vectors, document.embeddings.vectors).min() > 0.99


def test_what_has_no_tokens_trains_no_codebook(joint: Joint, splade: Splade) -> None:
    with pytest.raises(ValueError, match="no token embeddings"):
        train_codebook(splade, TEXTS)
    with pytest.raises(ValueError, match="no tokens"):
        train_codebook(joint, [])
