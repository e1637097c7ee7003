"""Stanford's ColBERT, also where its weights are a pickle alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cherche_models.errors import CheckpointError, UnsafeCheckpointError
from tests import checkpoints
from tests.unit.cherche_models.layouts.peers import assert_same, load


def _pickled(folder: Path) -> Path:
    path = checkpoints.stanford(folder) / "model.safetensors"
    torch.save(load_file(path), folder / "pytorch_model.bin")
    path.unlink()
    return folder


def test_weights_in_a_pickle_alone(tmp_path: Path) -> None:
    folder = _pickled(tmp_path / "pickled")
    with pytest.raises(UnsafeCheckpointError, match="only as a pickle"):
        load(folder)
    assert_same(load(folder, allow_pickle=True), load(checkpoints.stanford(tmp_path / "safe")))


def test_a_pickle_without_the_projection(tmp_path: Path) -> None:
    folder = _pickled(tmp_path)
    tensors = torch.load(folder / "pytorch_model.bin", weights_only=True)
    del tensors["linear.weight"]
    torch.save(tensors, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"has no tensor 'linear\.weight'"):
        load(folder, allow_pickle=True)


@pytest.mark.parametrize(("name", "value"), [("similarity", "l2"), ("interaction", "flipr")])
def test_another_score_is_refused(name: str, value: str, tmp_path: Path) -> None:
    path = checkpoints.stanford(tmp_path) / "artifact.metadata"
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
    with pytest.raises(CheckpointError, match=f"has the {name} '{value}' — only"):
        load(tmp_path)
