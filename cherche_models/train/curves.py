"""Loss curves and measurements of a run, plotted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from cherche_models.train import log

_SMOOTH = 0.9


def draw(path: Path, out: Path, title: str) -> None:
    """Plot the log of a run: the loss and its weighted parts above, measurements below.

    Parameters
    ----------
    path : Path
        The log file.
    out : Path
        ``.svg`` or ``.png``.
    title : str

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError as error:
        raise ImportError("curves need matplotlib — run: pip install 'cherche-sidecar[train]'") from error
    entries = list(log.read(path))
    steps = [entry for entry in entries if "loss" in entry]
    measured = [entry for entry in entries if "measured" in entry]
    figure: Any = Figure(figsize=(7, 5 if measured else 3), layout="constrained")
    panels = figure.subplots(2 if measured else 1, sharex=True, squeeze=False)[:, 0]
    _plot_losses(panels[0], steps)
    panels[0].set_title(title)
    if measured:
        _plot_measurements(panels[1], measured)
    panels[-1].set_xlabel("steps")
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.savefig(out, metadata={"Date": None} if out.suffix == ".svg" else None)


def smoothed(values: Sequence[float], keep: float = _SMOOTH) -> list[float]:
    """Exponential moving average, initialised with the first value.

    >>> smoothed([1.0, 0.0, 0.0], keep=0.5)
    [1.0, 0.5, 0.25]
    """
    return list(accumulate(values, lambda held, value: keep * held + (1 - keep) * value))


def _plot_losses(panel: Any, steps: Sequence[Mapping[str, Any]]) -> None:  # noqa: ANN401  # matplotlib's Axes
    at = [entry["step"] for entry in steps]
    values = [entry["loss"] for entry in steps]
    panel.plot(at, values, color="0.8", linewidth=0.8)
    panel.plot(at, smoothed(values), color="C0", label="loss")
    for number, name in enumerate(sorted({name for entry in steps for name in entry.get("parts", {})}), 1):
        parts = [entry["parts"].get(name, 0.0) for entry in steps]
        panel.plot(at, smoothed(parts), color=f"C{number % 10}", linewidth=1, label=name)
    panel.set_ylabel("loss")
    panel.legend(fontsize="small", frameon=False)


def _plot_measurements(panel: Any, measured: Sequence[Mapping[str, Any]]) -> None:  # noqa: ANN401  # as above
    for name in measured[0]["measured"]:
        panel.plot(
            [entry["step"] for entry in measured],
            [entry["measured"][name] for entry in measured],
            marker="o",
            markersize=3,
            label=name,
        )
    panel.set_ylabel("measured")
    panel.legend(fontsize="small", frameon=False)
