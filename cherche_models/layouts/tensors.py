"""Files of tensors beside an encoder's weights."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from cherche_models import quantized
from cherche_models.errors import CheckpointError, UnsafeCheckpointError
from cherche_models.layouts.files import read_json, write_json


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, float32.

    Raises
    ------
    CheckpointError
        If the file is missing or damaged.
    """
    try:
        return {name: tensor.float() for name, tensor in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}", "complete the checkpoint") from error


def read_tensor(path: Path, name: str) -> Tensor:
    """One tensor of a safetensors file, float32.

    Raises
    ------
    CheckpointError
        If the file or the tensor is missing or damaged.
    """
    try:
        return load_file(path)[name].float()
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}", "complete the checkpoint") from error
    except KeyError:
        raise CheckpointError(f"{path} has no tensor {name!r}", "complete the checkpoint") from None


def read_pickle(path: Path) -> Mapping[str, Tensor]:
    """A state dict that was pickled; only tensors are unpickled, never code.

    Raises
    ------
    UnsafeCheckpointError
        If the pickle holds anything but tensors.
    CheckpointError
        If it cannot be read.
    """
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UnsafeCheckpointError(
            f"{path} holds more than tensors, and unpickling it could run code",
            "save the tensors anew as safetensors, where you trust them",
        ) from error
    except (OSError, RuntimeError, EOFError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}", "complete the checkpoint") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} holds no state dict", "complete the checkpoint")
    return found


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as safetensors."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path)


def store_as(folder: Path, dtype: torch.dtype) -> None:
    """Rewrite a folder's weights in another type, for int8 in a file of another name; loaders still compute in float32.

    The configuration keeps float32, so that a library that follows it does not
    run half precision on a CPU.
    """
    path = folder / "model.safetensors"
    tensors = load_file(path)
    if dtype is torch.int8:
        quantized.save(tensors, folder)
        path.unlink()
    else:
        save_file({name: tensor.to(dtype) for name, tensor in tensors.items()}, path, metadata={"format": "pt"})
    write_json(folder / "config.json", {**read_json(folder / "config.json"), "dtype": "float32"})
