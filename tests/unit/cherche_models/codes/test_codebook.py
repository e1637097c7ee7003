"""A codebook is saved, loaded and trained deterministically."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cherche_models.codes import codebook
from tests.property.strategies import unit


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
