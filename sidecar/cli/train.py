"""``cherche train``: a model of one's own, from a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from sidecar.cli.output import Output, Progress, size, table
from sidecar.cli.session import Session, verb


@verb("train", connects=False)
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the model.  [default: the recipe's name]")
@click.option("--plan", "plan_only", is_flag=True, help="Measure what it would take, and stop.")
def train(session: Session, recipe: Path, out: Path | None, plan_only: bool) -> None:
    """Train a model from a recipe.

    RECIPE is a TOML file: the base, the data, and what differs from the defaults. What the run will
    take is measured on a few steps and printed first. Run again after an interruption, the same
    command goes on where the last saved state was. Curves and a model card end up beside the model.

    On several processes: torchrun --nproc-per-node N --no-python cherche train RECIPE
    """
    from sidecar.models.library import train_model

    shown = Shown(session.output, plan_only)
    folder = out or recipe.with_suffix("")
    try:
        train_model(recipe, folder, shown, plan_only=plan_only)
    except KeyboardInterrupt:
        session.output.note(f"stopped; the same command goes on from what {folder} holds")
        raise
    finally:
        shown.close()


@dataclass(slots=True)
class Shown:
    """Prints what a run reports: the result to stdout, all else to stderr."""

    output: Output
    plan_only: bool
    progress: Progress = field(init=False)
    _started: tuple[int, float] | None = None

    def __post_init__(self) -> None:
        self.progress = self.output.progress()

    def __call__(self, kind: str, values: Mapping[str, Any]) -> None:
        """Show an event."""
        {
            "note": lambda: self._note(values["text"]),
            "progress": lambda: self.progress(f"{values['done']:,} of {values['of']:,} {values['what']}"),
            "plan": lambda: self._plan(values),
            "step": lambda: self._step(values),
            "measured": lambda: self._measured(values),
            "done": lambda: self._done(values),
        }[kind]()

    def close(self) -> None:
        """Wipe the line of progress."""
        self.progress.close()

    def _note(self, text: str) -> None:
        self.progress.close()
        self.output.note(text)

    def _plan(self, plan: Mapping[str, Any]) -> None:
        if self.plan_only:
            self.output.data(plan, lambda: table(("", ""), _planned(plan)))
        else:
            for name, value in _planned(plan):
                self.output.note(f"{name:<12}{value}")

    def _step(self, now: Mapping[str, Any]) -> None:
        first, began = self._started = self._started or (now["step"] - 1, 0.0)
        pace = (now["seconds"] - began) / (now["step"] - first)
        left = duration(pace * (now["steps"] - now["step"]))
        self.progress(
            f"step {now['step']:,} of {now['steps']:,}  loss {now['loss']:.4f}  {pace:.2f} s/step  {left} left"
        )

    def _measured(self, found: Mapping[str, Any]) -> None:
        self.progress.close()
        figures = "  ".join(f"{name} {value:.4f}" for name, value in found.items() if name != "step")
        self.output.note(f"step {found['step']:,}  {figures}")

    def _done(self, result: Mapping[str, Any]) -> None:
        self.progress.close()
        self.output.data(result, lambda: _print(result))


def _planned(plan: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [
        ("model", f"{plan['architecture']} from {plan['base']}, on {plan['device']}"),
        ("weights", f"{plan['trained']:,} of {plan['parameters']:,} are trained"),
    ]
    for source in plan["sources"]:
        count = "a stream" if source["examples"] < 0 else f"{source['examples']:,} examples"
        rows.append(("data", f"{source['name']}: {count}"))
        if source["refused"]:
            rows += [("refused", f"{source['refused']:,} lines"), *(("", text) for text in source["first"])]
        if source["ignored"]:
            rows.append(("ignored", f"the keys {', '.join(source['ignored'])}"))
    passes = f", {plan['passes']:.1f} passes" if plan["passes"] else ""
    shared = f" on {plan['processes']} processes" if plan["processes"] > 1 else ""
    rows.append(("steps", f"{plan['steps']:,} of {plan['batch']} queries{passes}{shared}"))
    if plan["done"]:
        rows.append(("resumed", f"from step {plan['done']:,}"))
    if plan["measured_on"]:
        rows.append(("measured on", plan["measured_on"]))
        rows.append(("before", "  ".join(f"{name} {value:.4f}" for name, value in plan["before"].items())))
    pace = f"{plan['seconds_per_step']:.2f} s a step, measured just now on this machine"
    return [*rows, ("time", f"about {duration(plan['seconds'])} ({pace})"), ("memory", size(plan["memory"]))]


def _print(result: Mapping[str, Any]) -> None:
    rows: list[tuple[str, str]] = [
        ("folder", result["folder"]),
        ("steps", f"{result['steps']:,}"),
        ("took", f"{duration(result['seconds'])} (about {duration(result['plan']['seconds'])} were expected)"),
    ]
    for name, value in result["best"].items():
        rows.append((name, f"{result['before'].get(name, float('nan')):.4f} → {value:.4f} (step {result['at']:,})"))
    table(("", ""), rows)


def duration(seconds: float) -> str:
    """Time for reading.

    >>> duration(42.4), duration(600), duration(9000)
    ('42 s', '10 min', '2 h 30 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
