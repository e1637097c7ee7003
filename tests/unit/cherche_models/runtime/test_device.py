from __future__ import annotations

import pytest
import torch

from cherche_models.runtime import device
from cherche_models.runtime.device import dtype_name, named_dtype, pick_device, pick_dtype

CPU = torch.device("cpu")


def test_the_best_device_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert pick_device() == CPU
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device().type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device().type == "cuda"
    assert pick_device("cpu") == CPU


def test_devices_that_are_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="is not available: use one of"):
        pick_device("cuda")
    with pytest.raises(ValueError, match="unknown device"):
        pick_device("abacus")


@pytest.mark.parametrize(("flags", "expected"), [({"avx512_bf16"}, "bf16"), ({"amx_bf16"}, "bf16"), ({"avx2"}, "fp32")])
def test_bf16_where_the_cpu_multiplies_it(flags: set[str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "cpu_flags", lambda: frozenset(flags))
    assert dtype_name(pick_dtype(None, CPU)) == expected
    assert dtype_name(pick_dtype("fp32", CPU)) == "fp32"


def test_bad_types() -> None:
    with pytest.raises(ValueError, match="unknown dtype"):
        named_dtype("int4")
    with pytest.raises(ValueError, match="slower than fp32"):
        pick_dtype("fp16", CPU)
