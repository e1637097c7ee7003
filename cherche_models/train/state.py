"""What a training run needs to go on, in one safetensors file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from cherche_models.train import watch
from cherche_models.train.optimizer import trained
from cherche_models.train.settings import Settings

if TYPE_CHECKING:
    from cherche_models.train.run_state import Run

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")
_FREQUENCIES = "frequencies"


def save(path: Path, run: Run) -> None:
    """Write weights, moments and how far the run is; the old file stays whole until the new one is."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in trained(run.model).items():
        tensors[f"weight/{name}"] = parameter.detach().contiguous()
        for moment, value in run.optimizer.state.get(parameter, {}).items():
            tensors[f"{moment}/{name}"] = value.contiguous()
    about = {"step": str(run.done), "settings": _canonical(asdict(run.settings)), "stopped": str(int(run.stopped))}
    if run.average is not None:
        tensors |= {f"average/{name}": value for name, value in run.average.values.items()}
        about["moves"] = str(run.average.moves)
    if run.frequencies is not None:
        tensors[_FREQUENCIES] = run.frequencies
    path.parent.mkdir(parents=True, exist_ok=True)
    if run.best.weights:
        about["best"] = run.best.about()
        run.best.save(path.parent)
    scratch = path.with_suffix(".partial")
    save_file(tensors, scratch, about)
    os.replace(scratch, path)


def load(path: Path, run: Run) -> None:
    """Put a run where `save` left it.

    Raises
    ------
    ValueError
        If the file was made with other settings, or for another model.
    """
    with safe_open(str(path), framework="pt") as file:
        about = file.metadata() or {}
        if _filled(about.get("settings", "{}")) != _canonical(asdict(run.settings)):
            raise ValueError(f"{path} was made with other settings: give them again, or another folder")
        keys = set(file.keys())
        known = {key.removeprefix("weight/") for key in keys if key.startswith("weight/")}
        parameters = trained(run.model)
        if known != set(parameters):
            raise ValueError(f"{path} belongs to another model: its parameters have other names")
        for name, parameter in parameters.items():
            parameter.data.copy_(file.get_tensor(f"weight/{name}"))
            moments = {moment: file.get_tensor(f"{moment}/{name}") for moment in _MOMENTS if f"{moment}/{name}" in keys}
            if moments:  # a parameter outside the loss has none
                run.optimizer.state[parameter] = _placed(moments, parameter.device)
            if run.average is not None:
                run.average.values[name].copy_(file.get_tensor(f"average/{name}"))
        if _FREQUENCIES in keys:
            run.frequencies = file.get_tensor(_FREQUENCIES).to(run.model.device)
    _take(about, run, path.parent)


def _take(about: Mapping[str, str], run: Run, folder: Path) -> None:
    run.done = int(about["step"])
    run.stopped = about.get("stopped") == "1"
    if run.average is not None:
        run.average.moves = int(about["moves"])
    if "best" in about:
        run.best = watch.read(about["best"], folder)


def _placed(moments: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Moments beside their weights; the count of steps stays on the CPU, where AdamW keeps it."""
    return {name: value if name == "step" else value.to(device) for name, value in moments.items()}


def _filled(stored: str) -> str:
    """Settings as they were written, with what was added since at its default."""
    found: dict[str, Any] = json.loads(stored)
    return _canonical({**asdict(Settings(steps=0)), **found})


def _canonical(settings: Mapping[str, object]) -> str:
    return json.dumps(settings, sort_keys=True)
