"""Which type this CPU multiplies faster, measured in the shapes of a model.

No flag tells: of two processors with AVX512_BF16 one multiplies bfloat16 in twice the speed of float32, the other in
half of it. A measurement takes some fifty milliseconds and is kept in the user's cache folder.
"""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from cherche_models.runtime import threads, timings
from cherche_models.runtime.timings import HIDDEN, Timings, cache_file

_TOKENS, _VOCABULARY = 64, 2048
_ROUNDS = 5
_MEASURING = threading.Lock()
_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class Choice:
    """A type, and why."""

    dtype: torch.dtype
    reason: str


def choice(found: Timings) -> Choice:
    """The faster type; float32 unless bfloat16 wins clearly.

    >>> choice({"fp32": 0.002, "bf16": 0.004}).dtype
    torch.float32
    """
    name, reason = timings.faster(found)
    return Choice(_TYPES[name], reason)


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
        kept = timings.read(where)
        if key not in kept:
            kept[key] = dict((measured or measure)(hidden))
            timings.write(where, kept)
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


def _key(hidden: int) -> str:
    """What a measurement depends on: the CPU, the libraries that multiply, the shapes."""
    libraries = hashlib.sha256(torch.__config__.show().encode()).hexdigest()[:12]
    return timings.key(torch.__version__, libraries, hidden)
