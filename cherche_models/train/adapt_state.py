"""What a resumed adaptation needs beside the state of its training: examples, held-out sets and the number of steps."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cherche_models.train import made
from cherche_models.train.made import Made

_FILE = "adaptation.json"


@dataclass(slots=True)
class State:
    """An adaptation in its folder.

    Attributes
    ----------
    folder : Path
    given : mapping of name → JSON value
        Model and options of the run.
    made : Made
    steps : int
        0 until `decide`.
    """

    folder: Path
    given: Mapping[str, Any]
    made: Made
    steps: int = 0

    @classmethod
    def begin(cls, folder: Path, given: Mapping[str, Any], make: Callable[[], Made]) -> State:
        """The run that a folder holds, or a new one of what `make` returns.

        Raises
        ------
        ValueError
            If the folder holds a run of another model or with other options.
        """
        path = folder / _FILE
        if not path.exists():
            state = cls(folder, given, make())
            state.made.write(folder)
            state._write()
            return state
        stored = json.loads(path.read_text(encoding="utf-8"))
        if unlike := [name for name in given if stored["given"].get(name) != given[name]]:
            said = ", ".join(f"{name} {stored['given'].get(name)!r}, not {given[name]!r}" for name in unlike)
            raise ValueError(f"{folder} holds a run with {said}: give the same, or another folder with --out")
        return cls(folder, given, made.read(folder), stored["steps"])

    def decide(self, steps: int) -> None:
        """Fix the number of steps, which the learning rate of every step depends on."""
        self.steps = steps
        self._write()

    def _write(self) -> None:
        text = json.dumps({"given": dict(self.given), "steps": self.steps})
        (self.folder / _FILE).write_text(text, encoding="utf-8")
