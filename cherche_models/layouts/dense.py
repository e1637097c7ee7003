"""Dense modules after a transformer, as PyLate and sentence-transformers save them, and the head they are.

Each computes ``activation(W x + b)``, plus ``x`` or ``R x`` where it is residual (`pylate.models.Dense`).
Without an activation modules in a row are one affine map; one with an activation is a layer of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cherche_models.errors import CheckpointError
from cherche_models.layouts.checkpoint import BIAS, LINEAR, Head
from cherche_models.layouts.files import read_json, write_json
from cherche_models.layouts.tensors import read_tensors, write_tensors

IDENTITY = "torch.nn.modules.linear.Identity"
ACTIVATIONS = ("Tanh", "ReLU", "GELU", "SiLU", "Sigmoid", "Mish")
_RESIDUAL = "residual.weight"


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """One module; `residual` is the matrix that its input is added through, `activation` a class of torch.nn or ""."""

    weight: Tensor
    bias: Tensor | None = None
    residual: Tensor | None = None
    activation: str = ""

    def then(self, other: Dense) -> Dense:
        """The composition of two affine maps, this one first."""
        bias = None if self.bias is None else other.weight @ self.bias
        if other.bias is not None:
            bias = other.bias if bias is None else bias + other.bias
        return Dense(other.weight @ self.weight, bias)


def head(folders: Sequence[Path], dtype: torch.dtype, config: Mapping[str, Any]) -> Head:
    """The projection that Dense modules in a row are: layers with an activation, and an affine map last.

    Raises
    ------
    CheckpointError
        If a file is missing, or an activation is unknown.
    """
    chain: list[Dense] = []
    for folder in folders:
        module = _read(folder)
        if chain and module.weight.shape[1] != len(chain[-1].weight):
            raise CheckpointError(
                f"{folder} maps from {module.weight.shape[1]} dimensions, the module before it gives "
                f"{len(chain[-1].weight)}",
                "restore both from the checkpoint's source",
            )
        if chain and not chain[-1].activation and not module.activation:
            module = chain.pop().then(module)
        chain.append(module)
    if chain[-1].activation:
        chain.append(Dense(torch.eye(len(chain[-1].weight))))
    tensors: dict[str, Tensor] = {}
    for i, layer in enumerate(chain[:-1]):
        parts = {"weight": layer.weight, "bias": layer.bias, "residual": layer.residual}
        tensors |= {f"layers.{i}.{name}": tensor for name, tensor in parts.items() if tensor is not None}
    tensors[LINEAR] = chain[-1].weight
    if chain[-1].bias is not None:
        tensors[BIAS] = chain[-1].bias
    layers = {"layers": [layer.activation for layer in chain[:-1]]} if len(chain) > 1 else {}
    return Head({name: tensor.to(dtype) for name, tensor in tensors.items()}, {**config, **layers})


def layers(found: Head) -> list[Dense]:
    """The layers of a head before its last map, in order."""
    tensors = found.tensors
    return [
        Dense(
            found.tensor(f"layers.{i}.weight"),
            tensors.get(f"layers.{i}.bias"),
            tensors.get(f"layers.{i}.residual"),
            activation,
        )
        for i, activation in enumerate(found.config.get("layers", ()))
    ]


def write(found: Head, folder: Path, dtype: torch.dtype | None) -> list[str]:
    """Write a head as Dense modules; their names, in order."""
    names = []
    for number, module in enumerate([*layers(found), Dense(found.tensor(LINEAR), found.tensors.get(BIAS))], 1):
        name = f"{number}_Dense"
        shape: dict[str, Any] = {
            "in_features": module.weight.shape[1],
            "out_features": module.weight.shape[0],
            "bias": module.bias is not None,
            "activation_function": f"torch.nn.modules.activation.{module.activation}"
            if module.activation
            else IDENTITY,
        }
        parts = {LINEAR: module.weight, BIAS: module.bias, _RESIDUAL: module.residual}
        if module.residual is not None:
            shape["use_residual"] = True
            if module.residual.shape[0] == module.residual.shape[1]:
                del parts[_RESIDUAL]  # such a module adds its input as it is
        write_json(folder / name / "config.json", shape)
        tensors = {key: part.to(dtype or part.dtype) for key, part in parts.items() if part is not None}
        write_tensors(folder / name / "model.safetensors", tensors)
        names.append(name)
    return names


def _read(folder: Path) -> Dense:
    stored = read_json(folder / "config.json")
    given = str(stored.get("activation_function", IDENTITY))
    activation = given.rpartition(".")[2]
    known = given.startswith("torch.nn.") and activation in (*ACTIVATIONS, "Identity")
    if not known:
        raise CheckpointError(f"{folder} has the activation {given}", f"known are {', '.join(ACTIVATIONS)} of torch.nn")
    path = folder / "model.safetensors"
    tensors = read_tensors(path)
    if missing := [name for name in (LINEAR, *([BIAS] if stored.get("bias") else [])) if name not in tensors]:
        raise CheckpointError(f"{path} has no tensor {missing[0]!r}", "complete the checkpoint")
    weight = tensors[LINEAR]
    for name, size in zip(("out_features", "in_features"), weight.shape, strict=True):
        if stored.get(name, size) != size:
            reason = f"{folder / 'config.json'}: {name} is {stored[name]!r}, but the tensors say {size}"
            raise CheckpointError(reason, "restore the module from the checkpoint's source")
    residual = None
    if stored.get("use_residual"):
        square = weight.shape[0] == weight.shape[1]
        residual = torch.eye(len(weight)) if square else tensors.get(_RESIDUAL)
        if residual is None:
            raise CheckpointError(f"{path} has no tensor {_RESIDUAL!r}", "complete the checkpoint")
    bias = tensors[BIAS] if stored.get("bias") else None
    if activation == "Identity":
        return Dense(weight if residual is None else weight + residual, bias)
    return Dense(weight, bias, residual, activation)
