"""The training loop, resumable after an interruption."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from cherche_models.losses import JointLoss
from cherche_models.models.base import Model
from cherche_models.train import provenance
from cherche_models.train.processes import Processes
from cherche_models.train.run_state import TrainingRun
from cherche_models.train.settings import Settings as Settings
from cherche_models.train.stream import Batches
from cherche_models.train.teacher import AnyTeacher, Teacher
from cherche_models.train.watch import Watch

Report = Callable[[int, dict[str, float]], None]


def fit(
    model: Model,
    batches: Batches,
    loss: JointLoss,
    settings: Settings,
    *,
    teacher: AnyTeacher | None = None,
    folder: Path | None = None,
    report: Report | None = None,
    watch: Watch | None = None,
    processes: Processes | None = None,
    made_of: Mapping[str, Any] | None = None,
) -> list[float]:
    """Train a model in place and leave it in eval mode.

    Codebook and table of query weights are dropped, as they fitted the old weights.

    Every random choice of a step is determined by the seed and the step number, so
    a run that was interrupted and is called again with the same `folder` reaches
    the same losses as an uninterrupted one.

    Parameters
    ----------
    model : Model
        In float32.
    batches : callable
        Returns the examples of a step by its number; see `stream.shuffled`, `data.mixed`.
    loss : JointLoss
    settings : Settings
    teacher : Teacher or Ensemble, optional
        Required if the loss has a teacher term and the examples have no scores.
    folder : Path, optional
        Where states are saved and resumed from. A state records settings, loss, the digests of model and teacher,
        and the first batch; only the same is resumed.
    report : callable, optional
        Called with the number of each step and its losses by the names of `Parts`.
    watch : Watch, optional
        Measures during training; the model ends with the best weights measured.
    processes : Processes, optional
        `processes.connected()` under torchrun; batches are then global, split over the processes.
    made_of : mapping of name → JSON value, optional
        What else a resumed run must have been made of, such as the digest of its data.

    Returns
    -------
    list of float
        Total loss of each step that ran in this call.

    Raises
    ------
    ValueError
        If the loss of a step is not finite, the loss needs a teacher that is missing,
        or the saved state was made of something else or cannot be read.
    TypeError
        If the loss has a token similarity term and the teacher is an ensemble.
    """
    _check(model, loss, settings, teacher, processes or Processes())
    known = {**(made_of or {})}
    if folder:
        known |= provenance.of_fit(settings, loss, model.digest, teacher.digest if teacher else "", batches(0))
    run = TrainingRun(model, loss, settings, teacher, folder, watch, processes or Processes(), known)
    run.resume()
    losses = []
    model.train(settings.dropout)
    try:
        while run.done < settings.steps and not run.stopped:
            parts = run.step(batches(run.done))
            losses.append(float(parts.total))
            if report:
                report(run.done - 1, {name: float(part) for name, part in parts._asdict().items()})
    finally:
        model.eval()
        if run.done:
            model.codebook = model.query_table = None
    run.finish()
    return losses


def _check(model: Model, loss: JointLoss, settings: Settings, teacher: AnyTeacher | None, processes: Processes) -> None:
    if model.dtype is not torch.float32:
        raise ValueError(f"the weights are {model.dtype}: load the model with dtype='fp32' to train it")
    if loss.is_taught and settings.temperature <= 0:
        raise ValueError(f"the temperature is {settings.temperature}: it divides scores, so it must be above 0")
    if not loss.tokens:
        return
    if teacher is None:
        raise ValueError("the loss has a token similarity term, but there is no teacher: pass one, or set tokens to 0")
    if not isinstance(teacher, Teacher):
        raise TypeError("the loss has a token similarity term, which several teachers do not have: set tokens to 0")
    if not teacher.shares_vocabulary(model.tokenizer):
        raise ValueError("the teacher's vocabulary is not the model's: set tokens to 0")
    if settings.chunk or processes.count > 1:
        raise ValueError("token similarities need the whole batch in one process: leave out chunk and use one process")
