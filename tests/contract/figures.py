"""What was measured, and the tables of the documentation that quote it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "sidecar" / "docs"
SHIPPED = ("cherche-small", "cherche-tiny")


def measured(name: str) -> Any:
    return json.loads((ROOT / "tests" / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))


def rows(page: str, heading: str) -> Iterator[dict[str, str]]:
    """Rows of each table of a page whose header has `heading`; the first column is called ""."""
    columns: list[str] = []
    for line in (DOCS / page).read_text(encoding="utf-8").splitlines():
        cells = [cell.strip().replace("`", "") for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            columns = []
        elif not columns:
            columns = ["", *cells[1:]]
        elif heading in columns and not set(line) <= set("|-"):
            yield dict(zip(columns, cells, strict=True))


def share(value: float) -> str:
    """As the tables have a measure: three digits, without the zero before the point."""
    return f"{value:.3f}".removeprefix("0")
