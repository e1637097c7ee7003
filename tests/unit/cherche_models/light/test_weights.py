"""Weights are the numbers that torch reads of the same file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.torch import save_file

from cherche_models import quantized
from cherche_models.errors import Unreadable
from cherche_models.light import weights
from cherche_models.runtime.screen import Screen

FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(arrays.arrays(np.float32, st.integers(1, 30), elements=FINITE))
def test_bfloat16_is_rounded_as_torch_rounds(numbers: np.ndarray) -> None:
    expected = torch.from_numpy(numbers).to(torch.bfloat16)
    assert weights.halved(numbers).tolist() == expected.view(torch.uint16).tolist()
    assert weights.widened(weights.halved(numbers)).tolist() == expected.float().tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_file_of_floats_is_read(tmp_path: Path, dtype: torch.dtype) -> None:
    tensor = torch.randn(5, 7, generator=torch.Generator().manual_seed(1)).to(dtype)
    save_file({"a": tensor}, tmp_path / weights.FILE)
    assert weights.read(tmp_path)["a"].tolist() == tensor.float().tolist()


def test_integers_are_multiplied_by_their_scales_as_in_torch(tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(1)
    quantized.save({"a": torch.randn(80, 60, generator=random), "b": torch.randn(3, generator=random)}, tmp_path)
    expected = quantized.load(tmp_path, torch.float32)
    found = weights.read(tmp_path)
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        np.testing.assert_array_equal(found[name], tensor.numpy())


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({"a": torch.ones(2, 2, dtype=torch.int8)}, "without scales"),
        ({"a.int8_scale": torch.ones(2)}, "scales without a matrix"),
        ({"a": torch.ones(2, 2, dtype=torch.int8), "a.int8_scale": torch.ones(3)}, "positive scale for each row"),
        ({"a": torch.ones(2, 2, dtype=torch.int8), "a.int8_scale": torch.zeros(2)}, "positive scale for each row"),
        ({"a": torch.ones(2, dtype=torch.float64)}, "of the type F64"),
        ({"a": torch.tensor([float("inf")])}, "not finite"),
    ],
)
def test_a_file_of_integers_that_is_not_sound_is_refused(
    tmp_path: Path, tensors: dict[str, torch.Tensor], reason: str
) -> None:
    save_file(tensors, tmp_path / weights.INT8, metadata={"format": weights.INT8_FORMAT})
    with pytest.raises(Unreadable, match=reason):
        weights.read(tmp_path)


def test_another_format_and_no_file_at_all_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="cannot be read"):
        weights.read(tmp_path)
    save_file({"a": torch.ones(2)}, tmp_path / weights.INT8, metadata={"format": "cherche-int8-2"})
    with pytest.raises(Unreadable, match="format that is not known"):
        weights.read(tmp_path)


def test_integers_in_a_file_of_floats_are_refused(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2, dtype=torch.int8)}, tmp_path / weights.FILE)
    with pytest.raises(Unreadable, match="integers without scales"):
        weights.read(tmp_path)


@pytest.mark.parametrize("has_bias", [True, False])
def test_the_screen_is_that_of_torch(has_bias: bool) -> None:
    random = torch.Generator().manual_seed(1)
    weight, bias = torch.randn(700, 32, generator=random), torch.randn(700, generator=random)
    weight[3] = 0
    made = Screen(weight, bias if has_bias else None)
    grid, table = weights.screen(weight.numpy(), bias.numpy() if has_bias else None)
    np.testing.assert_array_equal(grid, made.grid.numpy())
    np.testing.assert_allclose(table, made.table.numpy(), rtol=1e-5)
