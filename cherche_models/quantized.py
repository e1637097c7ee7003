"""Weights as int8 on disk: a quarter of float32, dequantized when they are loaded.

Large matrices are stored as symmetric int8 with a float32 scale for each row (for word embeddings that is a scale for
each token), everything else as float32. The file has a name of its own, ``model.int8.safetensors``: a library that
does not know the scales finds no ``model.safetensors`` and says so, instead of reading integers as weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from cherche_models.errors import CheckpointError

FILE = "model.int8.safetensors"
SCALE = ".int8_scale"
"""What the name of a matrix ends in, where its scales are meant."""

# One key: safetensors writes several in no fixed order, and the file's digest would change with each save.
_METADATA = {"format": "cherche-int8-1"}
_LARGEST = 127
_SMALLEST_MATRIX = 4096


def quantize(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """A matrix as integers and scales, ``matrix ≈ integers * scales[:, None]``.

    The largest weight of a row becomes 127, so that no weight is off by more than half its row's scale. With 8 bits,
    clipping the largest weights to round the others more finely gains nothing: of nine clips from .6 to 1, 1 had the
    smallest squared error in every row of cherche-tiny and in nearly all of all-MiniLM-L6-v2.

    Parameters
    ----------
    matrix : float Tensor, shape (rows, columns)

    Returns
    -------
    integers : int8 Tensor, shape (rows, columns)
        Between -127 and 127.
    scales : float32 Tensor, shape (rows,)
        Positive; 1 for a row of zeros.

    Raises
    ------
    ValueError
        If a weight is NaN or infinite.

    >>> integers, scales = quantize(torch.tensor([[1.27, -0.64, 0.0]]))
    >>> integers.tolist(), round(scales.item(), 4)
    ([[127, -64, 0]], 0.01)
    """
    exact = matrix.detach().float()
    if not bool(torch.isfinite(exact).all()):
        raise ValueError("a weight is NaN or infinite: int8 has no place for it")
    scales = exact.abs().amax(dim=1) / _LARGEST
    # float32 has too few digits for the scale of a row of subnormal weights; such a row becomes zero, at a scale of 1.
    scales = torch.where(scales < torch.finfo(torch.float32).tiny, 1.0, scales)
    return (exact / scales[:, None]).round_().to(torch.int8), scales


def dequantize(integers: Tensor, scales: Tensor) -> Tensor:
    """The float32 matrix that integers and scales stand for, shape (rows, columns)."""
    return integers.float().mul_(scales[:, None])


def type_of_rest(dtype: torch.dtype | None) -> torch.dtype | None:
    """What a checkpoint of a type stores heads in, which are small: float32 beside int8, else the same."""
    return torch.float32 if dtype is torch.int8 else dtype


def save(tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Write ``model.int8.safetensors``: the same tensors give the same bytes."""
    stored: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and tensor.dim() == 2 and tensor.numel() >= _SMALLEST_MATRIX:
            stored[name], stored[name + SCALE] = quantize(tensor)
        else:
            stored[name] = tensor.float() if tensor.is_floating_point() else tensor
    save_file({name: tensor.cpu().contiguous() for name, tensor in stored.items()}, folder / FILE, metadata=_METADATA)
    (folder / FILE).chmod(0o644)  # safetensors leaves it to its owner, and a wheel would keep that


def load(folder: Path, dtype: torch.dtype) -> dict[str, Tensor]:
    """The tensors of ``model.int8.safetensors`` by name, in the type that a model runs in.

    Raises
    ------
    CheckpointError
        If the file is damaged, of a format that this release does not know, or a matrix and its scales do not fit.
    """
    path = folder / FILE
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        stored = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}", "complete the checkpoint") from error
    if metadata != _METADATA:
        raise CheckpointError(
            f"{path} is in the format {metadata.get('format')!r}, known is {_METADATA['format']!r}",
            "update this library, or save the model again",
        )
    names = [name for name in stored if not name.endswith(SCALE)]
    if lost := sorted(set(stored) - set(names) - {name + SCALE for name in names}):
        raise CheckpointError(f"{path} has the scales {lost[0]} without their matrix", "complete the checkpoint")
    found = {}
    for name in names:
        tensor = stored[name]
        if tensor.dtype == torch.int8 or name + SCALE in stored:
            tensor = dequantize(tensor, _checked_scales(path, name, tensor, stored.get(name + SCALE)))
        found[name] = tensor.to(dtype) if tensor.is_floating_point() else tensor
    return found


def _checked_scales(path: Path, name: str, integers: Tensor, scales: Tensor | None) -> Tensor:
    if integers.dtype != torch.int8 or integers.dim() != 2:
        reason = f"is no int8 matrix ({integers.dtype}, {integers.dim()} dimensions)"
    elif scales is None:
        reason = f"has no tensor {name + SCALE}"
    elif scales.dtype != torch.float32 or scales.shape != integers.shape[:1]:
        reason = f"has scales of {scales.dtype} and shape {tuple(scales.shape)}, not one float32 for each row"
    elif not bool((torch.isfinite(scales) & (scales > 0)).all()):
        reason = "has scales that are not positive numbers"
    else:
        return scales
    raise CheckpointError(f"{path}: {name} {reason}", "complete the checkpoint")
