"""Measure during training, keep the best weights, and stop early."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from cherche_models.models.base import Model
from cherche_models.train.optimizer import trained

Measure = Callable[[Model], Mapping[str, float]]
FILE = "best.safetensors"


@dataclass(slots=True)
class Watch:
    """What to measure, how often, and when to stop early.

    Attributes
    ----------
    measure : callable
        Returns metrics by name; larger is better.
    every : int
        Steps between measurements; the last step is measured too.
    patience : int
        Measurements without a new best after which the run stops; 0 to disable.
    metric : str
        The metric that decides; empty for the first.
    report : callable, optional
        Called with the number of completed steps and the metrics.
    """

    measure: Measure
    every: int
    patience: int = 0
    metric: str = ""
    report: Callable[[int, dict[str, float]], None] | None = None

    def is_due(self, before: int, done: int, steps: int) -> bool:
        """Whether a multiple of `every`, or the last step, is among the steps after `before` up to `done`."""
        return done // self.every > before // self.every or done == steps


@dataclass(slots=True)
class Best:
    """The best measurement of a run and its weights.

    Attributes
    ----------
    value : float or None
    step : int
        Completed steps at that time.
    since : int
        Measurements since then.
    """

    value: float | None = None
    step: int = 0
    since: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)

    def consider(self, found: Mapping[str, float], watch: Watch, step: int, model: Model) -> bool:
        """Compare a measurement with the best, and keep the weights if it is better; True if the run should stop.

        Raises
        ------
        ValueError
            If the metric that decides was not measured.
        """
        name = watch.metric or next(iter(found))
        if name not in found:
            raise ValueError(f"the metric {name!r} was not measured: choose one of {', '.join(found)}")
        if self.value is None or found[name] > self.value:
            self.value, self.step, self.since = found[name], step, 0
            self.weights = {key: value.detach().cpu().clone() for key, value in trained(model).items()}
            return False
        self.since += 1
        return watch.patience > 0 and self.since >= watch.patience

    def restore(self, model: Model) -> None:
        """Load the best weights into the model, if there are any."""
        for name, parameter in trained(model).items():
            if name in self.weights:
                parameter.data.copy_(self.weights[name])

    def about(self) -> str:
        """Everything but the weights, as JSON."""
        return json.dumps({"value": self.value, "step": self.step, "since": self.since})

    def save(self, folder: Path) -> None:
        """Write the weights; the file is replaced atomically."""
        scratch = folder / f"{FILE}.partial"
        save_file(self.weights, scratch)
        os.replace(scratch, folder / FILE)


def read(about: str, folder: Path) -> Best:
    """The best measurement, from `about` and the file that `save` wrote.

    Raises
    ------
    ValueError
        If that file is missing or damaged.
    """
    stored = json.loads(about)
    if stored["value"] is None:
        return Best(**stored)
    try:
        return Best(**stored, weights=load_file(folder / FILE))
    except (OSError, SafetensorError) as error:
        raise ValueError(
            f"{folder / FILE}, the best weights of the run, cannot be read ({error}) — "
            f"restore it, or remove {folder} to start again"
        ) from error
