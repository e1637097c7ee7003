"""Timings of a CPU's types, where they are kept, and which type they choose; without torch."""

from __future__ import annotations

import json
import math
import os
import platform
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

HIDDEN, WIDEST = 384, 1024
"""Width of the layers that is taken where a checkpoint does not say its own, that of MiniLM; and the largest."""
TYPES = ("fp32", "bf16")
# bfloat16 keeps 8 of 24 bits of a weight: what is hardly faster is not worth them.
_MARGIN = 1.1
Timings = Mapping[str, float]
"""Seconds of one pass by name of a type."""
Dtype = Literal["fp32", "bf16"]


def faster(timings: Timings) -> tuple[Dtype, str]:
    """The faster type and why; float32 unless bfloat16 wins clearly.

    >>> faster({"fp32": 0.002, "bf16": 0.001})
    ('bf16', 'bf16 is 2.00 times as fast as fp32 on this CPU, as measured')
    """
    ratio = timings["fp32"] / timings["bf16"]
    return "bf16" if ratio > _MARGIN else "fp32", f"bf16 is {ratio:.2f} times as fast as fp32 on this CPU, as measured"


def key(torch: str, libraries: str, hidden: int) -> str:
    """What a measurement depends on: the CPU, the libraries that multiply, the shapes."""
    return f"{cpu()}, torch {torch} ({libraries}), width {hidden}"


def width(hidden: int) -> int:
    """The width that is measured for a model whose layers have another, or 0 where that is not known."""
    return min(max(0, hidden) or HIDDEN, WIDEST)


def kept(torch: str, hidden: int, file: Path | None = None) -> Timings | None:
    """What an earlier process measured with a release of torch, its libraries whatever they are; None if nothing.

    The release may lack what torch itself has behind a plus, as in 2.9.0+cpu: a package index knows no such part.
    """
    first, last = key(torch, "\0", width(hidden)).split(" (\0")
    stored = read(file or cache_file()).items()
    found = [one for name, one in stored if name.startswith((f"{first} (", f"{first}+")) and name.endswith(last)]
    return found[-1] if found else None


def cache_file() -> Path:
    """Where measurements are kept: ``$XDG_CACHE_HOME/cherche``, else ``~/.cache/cherche``."""
    home = os.path.expanduser("~")
    # A container's user may have no home, so that the name stays as it is.
    folder = os.environ.get("XDG_CACHE_HOME") or (f"{home}/.cache" if home != "~" else tempfile.gettempdir())
    return Path(folder, "cherche", "cpu.json")


def cpu() -> str:
    """The processor's name, as the system has it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            found = next((line for line in lines if line.startswith("model name")), "")
    except OSError:
        found = ""
    return found.partition(":")[2].strip() or platform.processor() or platform.machine()


def read(file: Path) -> dict[str, dict[str, float]]:
    """Measurements that can be used; what is damaged is left out and measured again."""
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        return {str(key): one for key, one in stored.items() if _is_usable(one)}
    except (OSError, ValueError, AttributeError):
        return {}


def _is_usable(stored: object) -> bool:
    if not isinstance(stored, dict) or set(stored) != set(TYPES):
        return False
    return all(isinstance(value, float) and math.isfinite(value) and value > 0 for value in stored.values())


def write(file: Path, kept: Mapping[str, Timings]) -> None:
    """Replace the file as a whole: another process may read it, or write its own."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, encoding="utf-8", delete=False) as written:
            json.dump(kept, written, indent=1)
        Path(written.name).replace(file)
    except OSError:
        return
