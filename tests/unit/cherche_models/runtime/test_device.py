from __future__ import annotations

import pytest
import torch

from cherche_models.runtime import calibration, device
from cherche_models.runtime.device import dtype_name, named_dtype, pick_device, pick_dtype, preferred

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


@pytest.mark.parametrize(("bf16", "expected"), [(0.5, "bf16"), (0.95, "fp32"), (2.0, "fp32")])
def test_a_cpu_has_the_type_it_was_measured_to_multiply_faster(
    bf16: float, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def choose(hidden: int) -> calibration.Choice:
        asked.append(hidden)
        return calibration.choice({"fp32": 1.0, "bf16": bf16})

    monkeypatch.setattr(device.calibration, "choose", choose)
    preferred.cache_clear()
    try:
        assert dtype_name(pick_dtype(None, CPU)) == expected
        for width in (768, 0, -5, 10**9):
            assert dtype_name(pick_dtype(None, CPU, width)) == expected
        assert dtype_name(pick_dtype("fp32", CPU)) == "fp32"
    finally:
        preferred.cache_clear()
    assert asked == [384, 768, 384, 1024]


@pytest.mark.parametrize(("supported", "expected"), [(True, "bf16"), (False, "fp32")])
def test_a_gpu_says_what_it_multiplies(supported: bool, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    preferred.cache_clear()
    assert dtype_name(pick_dtype(None, torch.device("cuda"))) == expected
    assert dtype_name(pick_dtype(None, torch.device("mps"))) == "fp32"
    preferred.cache_clear()


def test_bad_types() -> None:
    with pytest.raises(ValueError, match="unknown dtype"):
        named_dtype("int4")
    with pytest.raises(ValueError, match="slower than fp32"):
        pick_dtype("fp16", CPU)
