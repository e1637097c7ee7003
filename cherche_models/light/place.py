"""Whether a model is for the CPU, and in which type, found without torch."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

from cherche_models.errors import Unreadable
from cherche_models.runtime import timings
from cherche_models.runtime.timings import Dtype

_ROOT = Path("/")
_ACCELERATORS = ("dev/nvidiactl", "dev/nvidia0", "dev/kfd", "dev/dxg")
"""What the drivers of CUDA, ROCm and of Windows' subsystem for Linux leave there."""
_TYPES: dict[str, Dtype] = {"fp32": "fp32", "float32": "fp32", "bf16": "bf16", "bfloat16": "bf16"}


def check(device: str | None, root: Path = _ROOT) -> None:
    """Refuse a device that torch has to look for.

    Parameters
    ----------
    device : str or None
        None for the best there is.
    root : Path
        Folder that holds ``dev``.

    Raises
    ------
    Unreadable
        Unless the CPU is named, or there is nothing else.
    """
    if device not in (None, "", "cpu"):
        raise Unreadable(f"it is for the device {device}")
    if device != "cpu" and torch_release():
        found = [name for name in _ACCELERATORS if (root / name).exists()]
        if found or sys.platform != "linux":
            raise Unreadable("there may be an accelerator here, which torch looks for")


def dtype(name: str | None, hidden: int) -> tuple[Dtype, str]:
    """Type of the weights and why: the one that is named, else the one that torch was measured to multiply faster.

    Parameters
    ----------
    name : str or None
    hidden : int
        Width of the model's layers.

    Raises
    ------
    Unreadable
        If the kernel knows no such type.
    """
    if name:
        if name not in _TYPES:
            raise Unreadable(f"the kernel has no {name}")
        return _TYPES[name], ""
    release = torch_release()
    if not release:
        return "fp32", "torch, which bf16 would be faster in, is not installed"
    found = timings.kept(release, hidden)
    return timings.faster(found) if found else ("fp32", "torch's bf16 was not measured on this CPU yet")


def torch_release() -> str:
    """The release of torch that is installed; empty where there is none."""
    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return ""
