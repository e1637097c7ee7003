"""What a run will cost, found by running a little of it."""

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
from cherche_models.train.run_state import Run
from cherche_models.train.settings import Settings
from cherche_models.train.stream import Batches
from cherche_models.train.teacher import Teacher

_STEPS = 4


@dataclass(frozen=True, slots=True)
class Cost:
    """Measured, not guessed; another load of the machine gives another time.

    Attributes
    ----------
    seconds_per_step : float
        Mean of the steps after the first, which pays for warming up.
    memory : int
        Most bytes held: of the process on a CPU, of tensors on an accelerator.
    """

    seconds_per_step: float
    memory: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done, and what that costs.

    Attributes
    ----------
    base, architecture, device : str
    parameters, trained : int
        Weights of the model, and those that move.
    sources : list of dict
        ``name``, ``examples`` (-1 where nobody knows), ``refused``, ``first`` (in words), ``ignored`` keys.
    steps, done, batch, processes : int
    passes : float
        How often each example is seen on the mean; 0 where nobody knows.
    seconds_per_step, seconds : float
        The second of all steps that are left, and of measuring.
    memory : int
    measured_on : str
    before : dict
        What is measured before the first step.
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
        """The same as plain values."""
        return asdict(self)


def cost(
    model: Model,
    batches: Batches,
    loss: JointLoss,
    settings: Settings,
    teacher: Teacher | None,
    processes: Processes,
    clock: Callable[[], float] = time.perf_counter,
) -> Cost:
    """Time and memory of a few whole steps; the weights are then what they were.

    The steps run at the learning rate 0, with moments of their own, which are
    thrown away. What was drawn is drawn again by the run itself.

    Raises
    ------
    ValueError
        As `fit`.
    """
    still = replace(settings, steps=_STEPS * settings.accumulate, learning_rate=0.0, warmup=0.0, ema=0.0)
    run = Run(model, loss, still, teacher, None, None, processes)
    if model.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(model.device)
    times = []
    model.train()
    try:
        for step in range(still.steps):
            started = clock()
            run.step(batches(step))
            times.append(clock() - started)
    finally:
        model.eval()
        run.optimizer.zero_grad(set_to_none=True)
    warm = times[settings.accumulate :]
    return Cost(sum(warm) / len(warm), _most_memory(model.device))


def _most_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
