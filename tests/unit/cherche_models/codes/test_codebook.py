"""Codes made with a trained codebook come back near, and only token embeddings have one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cherche_models import codec
from cherche_models.codes import codebook
from cherche_models.models import Joint, Splade
from cherche_models.train.codebook import train_codebook
from tests.property.strategies import unit

TEXTS = [f"neural search of the brain, protein {i} of a cell" for i in range(40)]


def test_codes_of_a_model_come_back_near(joint: Joint, tmp_path: Path) -> None:
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


def test_a_codebook_comes_back_and_keeps_its_digest(tmp_path: Path) -> None:
    book = codebook.train(unit(0, 600), 32)
    path = book.save(tmp_path)
    again = codebook.load(path)
    assert again.digest == book.digest
    np.testing.assert_array_equal(again.centroids, book.centroids)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match="is no codebook"):
        codebook.load(path)
    with pytest.raises(ValueError, match="is no codebook"):
        codebook.load(tmp_path / "absent")


def test_training_lessens_what_is_left_and_repeats_itself() -> None:
    groups = np.repeat(unit(5, 6), 50, axis=0) + 0.05 * np.random.default_rng(1).standard_normal((300, 12))
    vectors = (groups / np.linalg.norm(groups, axis=1, keepdims=True)).astype(np.float32)
    book = codebook.train(vectors, 16)
    assert np.linalg.norm(vectors - book.centroids[book.nearest(vectors)], axis=1).mean() < 0.25
    assert codebook.train(vectors, 16).digest == book.digest
    with pytest.raises(ValueError, match="give more text"):
        codebook.train(vectors, 301)
