"""Vectors on disk survive an interruption, whole."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cherche_models.train.vectors import Vectors, digest

TEXTS = ["a", "b", "a lone surrogate \ud800"]


def test_what_is_added_is_there_in_the_next_run(tmp_path: Path) -> None:
    vectors = torch.arange(12.0).view(3, 4)
    Vectors(tmp_path, 4).add(TEXTS, vectors)
    again = Vectors(tmp_path, 4)
    assert len(again) == 3
    assert "b" in again
    assert "c" not in again
    assert torch.equal(again.get(TEXTS[::-1]), vectors.flip(0))
    with pytest.raises(KeyError):
        again.get(["c"])


@pytest.mark.parametrize(("file", "kept"), [("digests.bin", 2), ("vectors.f16", 2)])
def test_a_row_that_was_written_in_part_is_cut_off(file: str, kept: int, tmp_path: Path) -> None:
    vectors = torch.arange(12.0).view(3, 4)
    Vectors(tmp_path, 4).add(TEXTS, vectors)
    path = tmp_path / file
    path.write_bytes(path.read_bytes()[:-1])
    cut = Vectors(tmp_path, 4)
    assert len(cut) == kept
    cut.add(["d"], torch.full((1, 4), 9.0))
    assert torch.equal(Vectors(tmp_path, 4).get(["a", "d"]), torch.stack([vectors[0], torch.full((4,), 9.0)]))


def test_digests_differ() -> None:
    assert len({digest(text) for text in TEXTS}) == len(TEXTS)
