"""What a run wrote down, line by line: the source of its curves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


class Log:
    """A JSONL file of steps and measurements; a resumed run goes on where its state was, not where it died.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_open = False

    def write(self, step: int, **values: Any) -> None:  # noqa: ANN401  # numbers and names of them
        """Append what is known after `step` steps; what was written for later ones is dropped first."""
        if not self._is_open:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            kept = [entry for entry in read(self._path) if entry["step"] < step]
            self._path.write_text("".join(json.dumps(entry) + "\n" for entry in kept), encoding="utf-8")
            self._is_open = True
        with self._path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"step": step, **values}) + "\n")


def read(path: Path) -> Iterator[Mapping[str, Any]]:
    """Entries in order; a last line that was cut off is left out."""
    if not path.exists():
        return
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):
                yield json.loads(line)
