"""State of a training run; a resumed run is bit-identical to an uninterrupted one."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from cherche_models.losses import JointLoss, Parts, Targets
from cherche_models.models.base import Model, Output
from cherche_models.train import gradient, provenance, watch
from cherche_models.train.batch import TrainingBatch, assemble
from cherche_models.train.optimizer import Average, adamw, set_rate, trained
from cherche_models.train.processes import Processes
from cherche_models.train.provenance import MadeOf
from cherche_models.train.rows import Example
from cherche_models.train.settings import Settings
from cherche_models.train.teacher import AnyTeacher, Teacher
from cherche_models.train.watch import Best, Watch

_DF_MEMORY = 0.99
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")
_FREQUENCIES = "frequencies"
_STATE = "state.safetensors"


@dataclass(slots=True)
class TrainingRun:
    """A run between two steps: weights, optimizer moments and progress.

    Attributes
    ----------
    done : int
        Completed steps.
    stopped : bool
        Whether early stopping ended the run.
    made_of : mapping
        Recorded in the state, which only a run of the same resumes; see `provenance`.
    """

    model: Model
    loss: JointLoss
    settings: Settings
    teacher: AnyTeacher | None
    folder: Path | None
    watch: Watch | None
    processes: Processes
    made_of: MadeOf = field(default_factory=dict)
    done: int = 0
    stopped: bool = False
    optimizer: torch.optim.Optimizer = field(init=False)
    average: Average | None = field(init=False)
    best: Best = field(default_factory=Best)
    frequencies: Tensor | None = None
    _saved: int = 0

    def __post_init__(self) -> None:
        self.processes.align(self.model)
        self.optimizer = adamw(self.model, self.settings)
        self.average = Average(self.model, self.settings.ema) if self.settings.ema else None

    def step(self, examples: list[Example]) -> Parts:
        """Train on one batch; at the end of an accumulation window update the weights, measure and save if due.

        Raises
        ------
        ValueError
            If the loss is not finite; the weights are then unchanged.
        """
        first, end = self.settings.window(self.done)
        if self.done == first:
            self.optimizer.zero_grad(set_to_none=True)
        parts = self._backward(assemble(examples, self.loss, self.settings, self.teacher, self.done), 1 / (end - first))
        self.done += 1
        if self.done == end:
            self._move()
            self._measure()
            self._save()
        return parts

    def resume(self) -> None:
        """Restore the state saved in the folder, if there is one.

        Raises
        ------
        ValueError
            If another run made it, or a part of it is missing or damaged.
        """
        path = self._path()
        if path is not None and path.exists():
            _read(path, self)
            self._saved = self.done

    def finish(self) -> None:
        """Load the final weights into the model: the best measured ones, else the moving average."""
        if self.best.weights:
            self.best.restore(self.model)
        elif self.average is not None:
            for name, parameter in trained(self.model).items():
                parameter.data.copy_(self.average.values[name])

    def _backward(self, batch: TrainingBatch, share: float) -> Parts:
        how = gradient.cached if self.settings.chunk or self.processes.count > 1 else gradient.whole
        batch = batch._replace(targets=_on(batch.targets, self.model.device))
        if self.loss.tokens:
            batch = batch._replace(targets=batch.targets._replace(tokens=self._tokens(batch)))

        def scored(queries: Output, documents: Output) -> Parts:
            targets = batch.targets._replace(frequencies=self._count(documents))
            parts = self.loss(queries, documents, targets, self.done)
            if not bool(torch.isfinite(parts.total)):
                found = float(parts.total.detach())
                raise ValueError(f"the loss of step {self.done} is {found}: lower the learning rate")
            if not parts.total.requires_grad:
                raise ValueError("all losses of the model's heads have weight 0: set loss.sparse or loss.maxsim")
            return parts

        return how(self.model, batch, scored, self.settings, self.processes, self.done, share)

    def _count(self, documents: Output) -> Tensor | None:
        """Running document frequency of each term, as a share; None if the loss does not use it."""
        if not self.loss.document_df_flops or documents.weights is None:
            return None
        seen = (documents.weights.detach() > 0).float().mean(dim=0)
        known = self.frequencies
        self.frequencies = seen if known is None else known.to(seen).lerp(seen, 1.0 - _DF_MEMORY)
        return self.frequencies

    def _tokens(self, batch: TrainingBatch) -> tuple[Tensor, Tensor]:
        """The teacher's vectors of the batch's tokens."""
        assert isinstance(self.teacher, Teacher)
        queries = gradient.encoded(self.model, batch.queries, "query", self.settings)
        documents = gradient.encoded(self.model, batch.documents, "document", self.settings)
        with torch.autocast(self.model.device.type, torch.bfloat16, enabled=self.settings.bf16):
            return self.teacher.tokens(*queries), self.teacher.tokens(*documents)

    def _move(self) -> None:
        parameters = list(trained(self.model).values())
        if self.processes.count > 1:
            for parameter in parameters:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
            self.processes.sum(parameter.grad for parameter in parameters if parameter.grad is not None)
        set_rate(self.optimizer, self.settings.rate(self.done - 1))
        nn.utils.clip_grad_norm_(parameters, self.settings.clip)
        self.optimizer.step()
        if self.average is not None:
            self.average.move()

    def _measure(self) -> None:
        if self.watch is None or not self.watch.is_due(
            self.settings.window(self.done - 1)[0], self.done, self.settings.steps
        ):
            return
        self.model.eval()
        with self.average.in_place() if self.average is not None else nullcontext():
            found = dict(self.watch.measure(self.model)) if self.processes.is_first else {}
            found = self.processes.share(found)
            self.stopped = self.best.consider(found, self.watch, self.done, self.model)
        self.model.train(self.settings.dropout)
        if self.watch.report and self.processes.is_first:
            self.watch.report(self.done, found)

    def _save(self) -> None:
        path = self._path()
        due = self.stopped or self.done == self.settings.steps or self.done - self._saved >= self.settings.save_every
        if path is not None and due and self.processes.is_first:
            _write(path, self)
            self._saved = self.done

    def _path(self) -> Path | None:
        return self.folder / _STATE if self.folder else None


def _on(targets: Targets, device: torch.device) -> Targets:
    """The targets on the model's device."""
    return targets._replace(
        positives=targets.positives.to(device),
        masked=targets.masked.to(device),
        teacher=None if targets.teacher is None else targets.teacher.to(device),
        unscored=None if targets.unscored is None else targets.unscored.to(device),
    )


def _write(path: Path, run: TrainingRun) -> None:
    """Write weights, optimizer moments and progress; the file is replaced atomically."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in trained(run.model).items():
        tensors[f"weight/{name}"] = parameter.detach().contiguous()
        for moment, value in run.optimizer.state.get(parameter, {}).items():
            tensors[f"{moment}/{name}"] = value.contiguous()
    about = {"step": str(run.done), "stopped": str(int(run.stopped)), "made_of": json.dumps(dict(run.made_of))}
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


def _read(path: Path, run: TrainingRun) -> None:
    """Restore a run from the file that `_write` wrote.

    Raises
    ------
    ValueError
        As `TrainingRun.resume`.
    """
    about = _about(path)
    provenance.check(path.parent, _made_of(about), run.made_of)
    with safe_open(str(path), framework="pt") as file:
        keys = set(file.keys())
        known = {key.removeprefix("weight/") for key in keys if key.startswith("weight/")}
        parameters = trained(run.model)
        if known != set(parameters):
            raise ValueError(f"{path} belongs to another model: its parameters have other names")
        for name, parameter in parameters.items():
            parameter.data.copy_(file.get_tensor(f"weight/{name}"))
            moments = {moment: file.get_tensor(f"{moment}/{name}") for moment in _MOMENTS if f"{moment}/{name}" in keys}
            if moments:  # a parameter outside the loss has none
                run.optimizer.state[parameter] = _on_device(moments, parameter.device)
            if run.average is not None:
                run.average.values[name].copy_(file.get_tensor(f"average/{name}"))
        if _FREQUENCIES in keys:
            run.frequencies = file.get_tensor(_FREQUENCIES).to(run.model.device)
    run.done = int(about["step"])
    run.stopped = about.get("stopped") == "1"
    if run.average is not None:
        run.average.moves = int(about["moves"])
    if "best" in about:
        run.best = watch.read(about["best"], path.parent)


def _on_device(moments: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Moments on the device of their weights; AdamW keeps the step count on the CPU."""
    return {name: value if name == "step" else value.to(device) for name, value in moments.items()}


def found_in(folder: Path) -> tuple[int, MadeOf | None] | None:
    """Completed steps of the state in a folder, and what it was made of; None where there is no state.

    Raises
    ------
    ValueError
        If the file is damaged.
    """
    path = folder / _STATE
    if not path.exists():
        return None
    about = _about(path)
    return int(about.get("step", 0)), _made_of(about)


def _about(path: Path) -> dict[str, str]:
    try:
        with safe_open(str(path), framework="pt") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise ValueError(
            f"{path} cannot be read ({error}) — restore it, or remove {path.parent} to start again"
        ) from error


def _made_of(about: Mapping[str, str]) -> dict[str, Any] | None:
    return json.loads(about["made_of"]) if "made_of" in about else None
