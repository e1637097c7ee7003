"""What a run reports while it trains, to its caller and to its log."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cherche_models.losses import JointLoss
from cherche_models.train import log
from cherche_models.train.settings import Settings

OnEvent = Callable[[str, Mapping[str, Any]], None]
"""Called with the kind of an event (``note``, ``progress``, ``plan``, ``step``, ``measured``, ``done``) and its values.

Values of ``progress``: ``what`` is counted, how many are ``done``, and ``of`` how many.
"""

_FILE = "log.jsonl"


class Reports:
    """The callbacks of `fit` and of `Watch`.

    Parameters
    ----------
    folder : Path
        Of the run's state.
    settings : Settings
    loss : JointLoss
        Its weights make the parts of a step in the log add up to the step's loss.
    on_event : callable
    is_first : bool
        Whether this process writes the log.
    """

    def __init__(
        self, folder: Path, settings: Settings, loss: JointLoss, on_event: OnEvent, *, is_first: bool = True
    ) -> None:
        self._log = log.Log(folder / _FILE)
        self._settings, self._loss, self._emit, self._is_first = settings, loss, on_event, is_first
        self._started = time.perf_counter()

    def step(self, step: int, parts: dict[str, float]) -> None:
        """Report the losses of a step, from 0."""
        seconds = time.perf_counter() - self._started
        weights = self._loss.weights(step)
        terms = {name: weights[name] * value for name, value in parts.items() if weights.get(name) and value}
        rate = self._settings.rate(step)
        if self._is_first:
            self._log.write(step + 1, loss=parts["total"], parts=terms, rate=rate, seconds=round(seconds, 3))
        now = {"step": step + 1, "steps": self._settings.steps, "loss": parts["total"]}
        self._emit("step", {**now, "rate": rate, "seconds": seconds})

    def measured(self, step: int, values: dict[str, float]) -> None:
        """Report what was measured after a number of steps."""
        self._log.write(step, measured=values)
        self._emit("measured", {"step": step, **values})


def summary(folder: Path) -> dict[str, Any]:
    """Figures of the whole run, including the calls before it was resumed, from its log."""
    entries = list(log.read(folder / _FILE))
    losses = [entry for entry in entries if "loss" in entry]
    measured = [entry for entry in entries if "measured" in entry and entry["step"]]
    best = max(measured, key=lambda entry: next(iter(entry["measured"].values())), default=None)
    return {
        "steps": losses[-1]["step"] if losses else 0,
        "final_loss": losses[-1]["loss"] if losses else None,
        "best": best["measured"] if best else {},
        "at": best["step"] if best else 0,
    }
