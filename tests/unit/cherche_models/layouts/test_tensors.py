"""Files of tensors come back as they were written, and pickles hold tensors alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cherche_models.errors import CheckpointError, UnsafeCheckpointError
from cherche_models.layouts.tensors import read_pickle, read_tensor, read_tensors, write_tensors


def test_tensors_come_back_in_float32(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "model.safetensors"
    write_tensors(path, {"a": torch.ones(2, 3, dtype=torch.float16).t()})
    assert read_tensors(path)["a"].equal(torch.ones(3, 2))
    assert read_tensor(path, "a").dtype is torch.float32
    with pytest.raises(CheckpointError, match="has no tensor 'b'"):
        read_tensor(path, "b")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_tensors(tmp_path / "none.safetensors")


def test_a_pickle_that_is_more_than_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "state.bin")
    assert read_pickle(tmp_path / "state.bin")["a"].tolist() == [1, 1]
    torch.save({"a": Path("elsewhere")}, tmp_path / "other.bin")
    with pytest.raises(UnsafeCheckpointError, match="more than tensors"):
        read_pickle(tmp_path / "other.bin")
