"""Default device and dtype of a model."""

from __future__ import annotations

from functools import cache

import torch

from cherche_models.runtime import calibration, timings

_NAMES = {
    "fp32": torch.float32,
    "float32": torch.float32,
    "bf16": torch.bfloat16,
    "bfloat16": torch.bfloat16,
    "fp16": torch.float16,
    "float16": torch.float16,
}


def pick_device(name: str | None = None) -> torch.device:
    """The named device, else CUDA, else MPS, else the CPU.

    Raises
    ------
    ValueError
        If the named device is unknown or not available.
    """
    if not name:
        return torch.device(_available()[0])
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"unknown device {name!r}: use cpu, cuda, cuda:1 or mps") from None
    if device.type not in _available():
        raise ValueError(f"device {name!r} is not available: use one of {', '.join(_available())}")
    return device


def pick_dtype(name: str | None, device: torch.device, hidden: int = 0) -> torch.dtype:
    """The named dtype, else the one that `preferred` gives.

    Raises
    ------
    ValueError
        If the name is unknown, or float16 is requested on a CPU.
    """
    if not name:
        return preferred(device, hidden).dtype
    dtype = named_dtype(name)
    if device.type == "cpu" and dtype is torch.float16:
        raise ValueError("fp16 on a CPU is slower than fp32: use bf16 or fp32")
    return dtype


@cache
def preferred(device: torch.device, hidden: int = 0) -> calibration.Choice:
    """The type that is fastest on a device, and why: bfloat16 or float32.

    Parameters
    ----------
    device : torch.device
    hidden : int
        Width of the model's layers; 0 where that is not known.
    """
    if device.type == "cpu":
        return calibration.choose(timings.width(hidden))
    # With emulation GPUs older than Ampere would count too.
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return calibration.Choice(torch.bfloat16, "this GPU multiplies bf16")
    return calibration.Choice(torch.float32, f"bf16 is not multiplied by {device.type} here")


def named_dtype(name: str) -> torch.dtype:
    """The dtype with a name.

    Raises
    ------
    ValueError
        If the name is unknown.

    >>> named_dtype("bf16")
    torch.bfloat16
    """
    if name not in _NAMES:
        raise ValueError(f"unknown dtype {name!r}: use fp32, bf16 or fp16")
    return _NAMES[name]


def dtype_name(dtype: torch.dtype) -> str:
    """Short name of a dtype.

    >>> dtype_name(torch.bfloat16)
    'bf16'
    """
    return next(name for name, known in _NAMES.items() if known is dtype)


def _available() -> list[str]:
    """Device types, best first."""
    cuda = ["cuda"] if torch.cuda.is_available() else []
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return [*cuda, *mps, "cpu"]
