"""The log of a run as JSONL; its curves are drawn from it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


class Log:
    """A JSONL file of steps and measurements; a resumed run overwrites entries after its last saved state.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_open = False

    def write(self, step: int, **values: Any) -> None:  # noqa: ANN401  # numbers and names of them
        """Append an entry for `step`; on the first call, entries of an earlier run from this step on are dropped."""
        if not self._is_open:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            kept = [entry for entry in read(self._path) if entry["step"] < step]
            self._path.write_text("".join(json.dumps(entry) + "\n" for entry in kept), encoding="utf-8")
            self._is_open = True
        with self._path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"step": step, **values}) + "\n")


def read(path: Path) -> Iterator[Mapping[str, Any]]:
    """Entries in order; an incomplete last line is ignored."""
    if not path.exists():
        return
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):
                yield json.loads(line)
