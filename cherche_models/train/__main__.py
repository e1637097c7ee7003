"""``python -m cherche_models.train RECIPE OUT``: training without the sidecar, for example under torchrun."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cherche_models.train.run import run


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a recipe; events go to stderr as JSON lines."""
    parser = argparse.ArgumentParser(prog="python -m cherche_models.train")
    parser.add_argument("recipe", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args(arguments)
    run(options.recipe, options.out, _print_event)


def _print_event(kind: str, values: Mapping[str, Any]) -> None:
    print(json.dumps({kind: values}), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
