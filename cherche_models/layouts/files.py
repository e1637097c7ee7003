"""Small files of a checkpoint."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from cherche_models import quantized
from cherche_models.errors import CheckpointError, UnsafeCheckpointError


def read_json(path: Path) -> dict[str, Any]:
    """An object from a JSON file; empty if there is no such file.

    Raises
    ------
    CheckpointError
        If the file holds anything else.
    """
    found = _read(path)
    if not isinstance(found, dict | None):
        raise CheckpointError(f"{path} holds no JSON object", "restore it from the checkpoint's source")
    return found or {}


def read_list(path: Path) -> list[dict[str, Any]]:
    """A list of objects from a JSON file; empty if there is no such file.

    Raises
    ------
    CheckpointError
        If the file holds anything else.
    """
    found = _read(path)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise CheckpointError(f"{path} holds no list of JSON objects", "restore it from the checkpoint's source")
    return found


def write_json(path: Path, value: object) -> None:
    """Write JSON for people and machines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


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


def _read(path: Path) -> object:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON: {error}", "restore it from the checkpoint's source") from error
