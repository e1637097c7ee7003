"""Recipes and recorded events of the tests of runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MINIMAL = """
base = "base"
architecture = "{architecture}"
dim = 8
batch = 4

[training]
steps = 6
learning_rate = 1e-3
query_length = 16
document_length = 16
save_every = 2
{training}

[[data]]
{data}
license = "cc0-1.0"

{more}
"""


def write_recipe(
    folder: Path,
    base: Path,
    architecture: str = "colbert",
    training: str = "",
    data: str = 'jsonl = "pairs.jsonl"',
    more: str = "",
) -> Path:
    if not (folder / "base").exists():
        (folder / "base").symlink_to(base)
    path = folder / "recipe.toml"
    path.write_text(MINIMAL.format(architecture=architecture, training=training, data=data, more=more))
    return path


class Events:
    """The events of a run."""

    def __init__(self) -> None:
        self.all: list[tuple[str, Mapping[str, Any]]] = []

    def __call__(self, kind: str, values: Mapping[str, Any]) -> None:
        json.dumps(values)
        self.all.append((kind, values))

    def of(self, kind: str) -> list[Mapping[str, Any]]:
        return [values for found, values in self.all if found == kind]
