"""``python -m cherche_models.train RECIPE OUT``: a run without the sidecar, such as torchrun's processes."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cherche_models.train.run import run


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a recipe; what happens goes to stderr as JSON, a line each."""
    parser = argparse.ArgumentParser(prog="python -m cherche_models.train")
    parser.add_argument("recipe", type=Path)
    parser.add_argument("out", type=Path)
    asked = parser.parse_args(arguments)
    run(asked.recipe, asked.out, _tell)


def _tell(kind: str, values: Mapping[str, Any]) -> None:
    print(json.dumps({kind: values}), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
