"""What a training run needs to go on, in one safetensors file."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

if TYPE_CHECKING:
    from cherche_models.train.fit import Settings

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def save(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, settings: Settings, step: int) -> None:
    """Write weights, moments and the next step's number; the old file stays whole until the new one is."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in _trained(model):
        tensors[f"weight/{name}"] = parameter.detach().contiguous()
        for moment, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{moment}/{name}"] = value.contiguous()
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".partial")
    save_file(tensors, scratch, {"step": str(step), "settings": _canonical(settings)})
    os.replace(scratch, path)


def load(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, settings: Settings) -> int:
    """Restore what `save` wrote and return the next step's number.

    Raises
    ------
    ValueError
        If the file was made with other settings, or for another model.
    """
    with safe_open(str(path), framework="pt") as file:
        about = file.metadata() or {}
        if about.get("settings") != _canonical(settings):
            raise ValueError(f"{path} was made with other settings: give them again, or another folder")
        keys = set(file.keys())
        known = {key.removeprefix("weight/") for key in keys if key.startswith("weight/")}
        if known != {name for name, _ in _trained(model)}:
            raise ValueError(f"{path} belongs to another model: its parameters have other names")
        for name, parameter in _trained(model):
            parameter.data.copy_(file.get_tensor(f"weight/{name}"))
            moments = [moment for moment in _MOMENTS if f"{moment}/{name}" in keys]
            if moments:  # a parameter outside the loss has none
                optimizer.state[parameter] = {moment: file.get_tensor(f"{moment}/{name}") for moment in moments}
    return int(about["step"])


def _trained(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Parameters that have moments; tied ones once."""
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]


def _canonical(settings: Settings) -> str:
    return json.dumps(asdict(settings), sort_keys=True)
