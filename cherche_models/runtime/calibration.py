"""Which type this CPU multiplies faster, measured in the shapes of a model.

No flag tells: of two processors with AVX512_BF16 one multiplies bfloat16 in twice the speed of float32, the other in
half of it. A measurement takes some fifty milliseconds and is kept in the user's cache folder.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from cherche_models.runtime import threads

HIDDEN, WIDEST = 384, 1024
"""Width of the layers that is taken where a checkpoint does not say its own, that of MiniLM; and the largest."""
_TOKENS, _VOCABULARY = 64, 2048
_ROUNDS = 5
# bfloat16 keeps 8 of 24 bits of a weight: what is hardly faster is not worth them.
_MARGIN = 1.1
_MEASURING = threading.Lock()
_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
Timings = Mapping[str, float]
"""Seconds of one pass by name of a type."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A type, and why."""

    dtype: torch.dtype
    reason: str


def choice(timings: Timings) -> Choice:
    """The faster type; float32 unless bfloat16 wins clearly.

    >>> choice({"fp32": 0.002, "bf16": 0.001}).reason
    'bf16 is 2.00 times as fast as fp32 on this CPU, as measured'
    >>> choice({"fp32": 0.002, "bf16": 0.004}).dtype
    torch.float32
    """
    ratio = timings["fp32"] / timings["bf16"]
    chosen = "bf16" if ratio > _MARGIN else "fp32"
    return Choice(_TYPES[chosen], f"bf16 is {ratio:.2f} times as fast as fp32 on this CPU, as measured")


def choose(
    hidden: int = HIDDEN, *, file: Path | None = None, measured: Callable[[int], Timings] | None = None
) -> Choice:
    """Choose the type of a model on the CPU, by a measurement of this or an earlier process.

    Parameters
    ----------
    hidden : int
        Width of the model's layers.
    file : Path or None
        Where measurements are kept; None for `cache_file`. One that cannot be read or written is done without.
    measured : callable or None
        None for `measure`.
    """
    where, key = file or cache_file(), _key(hidden)
    with _MEASURING:
        kept = _read(where)
        if key not in kept:
            kept[key] = dict((measured or measure)(hidden))
            _write(where, kept)
    return choice(kept[key])


def measure(hidden: int = HIDDEN, clock: Callable[[], float] = time.thread_time) -> dict[str, float]:
    """Seconds of CPU that a layer's products and a part of the vocabulary's take in each type, in one thread.

    The types take turns and the best round counts; CPU time of one thread is hardly longer on a busy machine, whereas
    threads that wait for each other there take a hundred times as long.
    """
    shapes = ((hidden, 4 * hidden), (4 * hidden, hidden), (hidden, _VOCABULARY))
    operands = {
        name: [
            (torch.ones(_TOKENS, rows, dtype=dtype), torch.ones(columns, rows, dtype=dtype)) for rows, columns in shapes
        ]
        for name, dtype in _TYPES.items()
    }
    best = dict.fromkeys(_TYPES, math.inf)
    with torch.inference_mode(), threads.one():
        for _ in range(_ROUNDS):
            for name, pairs in operands.items():
                started = clock()
                for tokens, weights in pairs:
                    torch.nn.functional.linear(tokens, weights)
                best[name] = min(best[name], clock() - started)
    return best


def cache_file() -> Path:
    """Where measurements are kept: ``$XDG_CACHE_HOME/cherche``, else ``~/.cache/cherche``."""
    home = os.path.expanduser("~")
    # A container's user may have no home, so that the name stays as it is.
    folder = os.environ.get("XDG_CACHE_HOME") or (f"{home}/.cache" if home != "~" else tempfile.gettempdir())
    return Path(folder, "cherche", "cpu.json")


def _key(hidden: int) -> str:
    """What a measurement depends on: the CPU, the libraries that multiply, the shapes."""
    libraries = hashlib.sha256(torch.__config__.show().encode()).hexdigest()[:12]
    return f"{_cpu()}, torch {torch.__version__} ({libraries}), width {hidden}"


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            found = next((line for line in lines if line.startswith("model name")), "")
    except OSError:
        found = ""
    return found.partition(":")[2].strip() or platform.processor() or platform.machine()


def _read(file: Path) -> dict[str, dict[str, float]]:
    """Measurements that can be used; what is damaged is left out and measured again."""
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        return {str(key): one for key, one in stored.items() if _is_usable(one)}
    except (OSError, ValueError, AttributeError):
        return {}


def _is_usable(stored: object) -> bool:
    if not isinstance(stored, dict) or set(stored) != set(_TYPES):
        return False
    return all(isinstance(value, float) and math.isfinite(value) and value > 0 for value in stored.values())


def _write(file: Path, kept: Mapping[str, Timings]) -> None:
    """Replace the file as a whole: another process may read it, or write its own."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, encoding="utf-8", delete=False) as written:
            json.dump(kept, written, indent=1)
        Path(written.name).replace(file)
    except OSError:
        return
