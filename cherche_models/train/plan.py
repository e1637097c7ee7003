"""Time and memory of a run, measured on its first steps."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import torch

from cherche_models.losses import JointLoss
from cherche_models.models.base import Model
from cherche_models.train.processes import Processes
from cherche_models.train.run_state import TrainingRun
from cherche_models.train.settings import Settings
from cherche_models.train.stream import Batches
from cherche_models.train.teacher import AnyTeacher

_STEPS = 4


@dataclass(frozen=True, slots=True)
class Cost:
    """Measured time and memory; the time depends on the load of the machine.

    Attributes
    ----------
    seconds_per_step : float
        Mean without the first window of steps, which includes warm-up.
    memory : int
        Peak bytes: of the process on a CPU, of tensors on an accelerator.
    """

    seconds_per_step: float
    memory: int


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """The work of a run and its expected cost.

    Attributes
    ----------
    base, architecture, device : str
    parameters, trained : int
        Weights of the model, and trainable ones.
    sources : list of dict
        ``name``, ``examples`` (-1 if unknown), ``refused``, ``first`` (error messages), ``ignored`` keys.
    steps, done, batch, processes : int
    passes : float
        Epochs; 0 if unknown.
    seconds_per_step, seconds : float
        `seconds` covers all remaining steps and measurements.
    memory : int
        Peak bytes.
    measured_on : str
    before : dict
        Measurements before the first step.
    """

    base: str
    architecture: str
    device: str
    parameters: int
    trained: int
    sources: list[dict[str, object]]
    steps: int
    done: int
    batch: int
    processes: int
    passes: float
    seconds_per_step: float
    seconds: float
    memory: int
    measured_on: str
    before: dict[str, float]

    def values(self) -> dict[str, object]:
        """The plan as a dict of JSON values."""
        return asdict(self)


def cost(
    model: Model,
    batches: Batches,
    loss: JointLoss,
    settings: Settings,
    teacher: AnyTeacher | None,
    processes: Processes,
    clock: Callable[[], float] = time.perf_counter,
) -> Cost:
    """Time and memory of a few complete steps; the weights are unchanged afterwards.

    The steps run at learning rate 0 with an optimizer of their own. The run draws the
    same batches again.

    Raises
    ------
    ValueError
        As `fit`.
    """
    trial = replace(settings, steps=_STEPS * settings.accumulate, learning_rate=0.0, warmup=0.0, ema=0.0)
    run = TrainingRun(model, loss, trial, teacher, None, None, processes)
    if model.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(model.device)
    times = []
    model.train(settings.dropout)
    try:
        for step in range(trial.steps):
            started = clock()
            run.step(batches(step))
            times.append(clock() - started)
    finally:
        model.eval()
        run.optimizer.zero_grad(set_to_none=True)
    warm = times[settings.accumulate :]
    return Cost(sum(warm) / len(warm), _peak_memory(model.device))


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes on macOS, KiB on Linux
