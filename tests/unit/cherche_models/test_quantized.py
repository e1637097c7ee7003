"""Weights as int8 on disk: what is stored how, and what a damaged file says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from cherche_models import quantized
from cherche_models.errors import CheckpointError

MATRIX = torch.randn(64, 64, generator=torch.Generator().manual_seed(0)) * torch.logspace(-6, 6, 64)[:, None]
TENSORS = {"matrix": MATRIX, "small": torch.randn(8, 8), "bias": torch.randn(5000), "ids": torch.arange(5)}
FORMAT = {"format": "cherche-int8-1"}


def test_large_matrices_are_integers_and_all_else_is_exact(tmp_path: Path) -> None:
    quantized.save(TENSORS, tmp_path)
    stored = load_file(tmp_path / quantized.FILE)
    assert {name for name, tensor in stored.items() if tensor.dtype == torch.int8} == {"matrix"}
    assert stored["matrix.int8_scale"].shape == (64,)
    found = quantized.load(tmp_path, torch.float32)
    assert found.keys() == TENSORS.keys()
    for name in ("small", "bias", "ids"):
        torch.testing.assert_close(found[name], TENSORS[name], rtol=0, atol=0)
    torch.testing.assert_close(
        found["matrix"] / MATRIX.abs().amax(1, True), MATRIX / MATRIX.abs().amax(1, True), rtol=0, atol=1 / 253
    )


def test_a_model_gets_the_type_that_it_runs_in(tmp_path: Path) -> None:
    quantized.save(TENSORS, tmp_path)
    found = quantized.load(tmp_path, torch.bfloat16)
    assert {name: tensor.dtype for name, tensor in found.items()} == {
        **dict.fromkeys(("matrix", "small", "bias"), torch.bfloat16),
        "ids": torch.int64,
    }


def test_saving_what_was_loaded_changes_nothing_more(tmp_path: Path) -> None:
    quantized.save(TENSORS, tmp_path)
    once = (tmp_path / quantized.FILE).read_bytes()
    quantized.save(quantized.load(tmp_path, torch.float32), tmp_path)
    assert (tmp_path / quantized.FILE).read_bytes() == once


def test_rows_without_weights_and_with_subnormal_ones() -> None:
    matrix = torch.stack([torch.zeros(4), torch.full((4,), 1e-42), torch.full((4,), -1e-30)])
    integers, scales = quantized.quantize(matrix)
    assert integers.tolist() == [[0] * 4, [0] * 4, [-127] * 4]
    assert scales[:2].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_not_stored(value: float) -> None:
    with pytest.raises(ValueError, match="NaN or infinite"):
        quantized.quantize(torch.tensor([[1.0, value]]))


def without_scales(stored: dict[str, Tensor]) -> None:
    del stored["matrix.int8_scale"]


def of_fewer_rows(stored: dict[str, Tensor]) -> None:
    stored["matrix.int8_scale"] = stored["matrix.int8_scale"][:-1].clone()


def in_half_precision(stored: dict[str, Tensor]) -> None:
    stored["matrix.int8_scale"] = stored["matrix.int8_scale"].half()


def with_nan(stored: dict[str, Tensor]) -> None:
    stored["matrix.int8_scale"][3] = float("nan")


def negative(stored: dict[str, Tensor]) -> None:
    stored["matrix.int8_scale"][3] *= -1


def of_no_integers(stored: dict[str, Tensor]) -> None:
    stored["matrix"] = stored["matrix"].float()


def without_matrix(stored: dict[str, Tensor]) -> None:
    del stored["matrix"]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (without_scales, r"matrix has no tensor matrix\.int8_scale"),
        (of_fewer_rows, r"matrix has scales of torch\.float32 and shape \(63,\)"),
        (in_half_precision, r"matrix has scales of torch\.float16"),
        (with_nan, "matrix has scales that are not positive numbers"),
        (negative, "matrix has scales that are not positive numbers"),
        (of_no_integers, "matrix is no int8 matrix"),
        (without_matrix, r"scales matrix\.int8_scale without their matrix"),
    ],
)
def test_scales_that_do_not_fit(damage: Callable[[dict[str, Tensor]], None], said: str, tmp_path: Path) -> None:
    quantized.save(TENSORS, tmp_path)
    stored = load_file(tmp_path / quantized.FILE)
    damage(stored)
    save_file(stored, tmp_path / quantized.FILE, metadata=FORMAT)
    with pytest.raises(CheckpointError, match=said):
        quantized.load(tmp_path, torch.float32)


def test_files_that_are_damaged_or_newer(tmp_path: Path) -> None:
    (tmp_path / quantized.FILE).write_bytes(b"no safetensors")
    with pytest.raises(CheckpointError, match="cannot be read"):
        quantized.load(tmp_path, torch.float32)
    save_file(TENSORS, tmp_path / quantized.FILE, metadata={"format": "cherche-int8-2"})
    with pytest.raises(CheckpointError, match="'cherche-int8-2', known is 'cherche-int8-1'"):
        quantized.load(tmp_path, torch.float32)
