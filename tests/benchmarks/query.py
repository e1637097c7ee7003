"""One query through the compiled kernel and through torch: ``python -m tests.benchmarks.query``.

Rounds alternate between both ways, in one thread; figures are CPU time of that thread, tokenizing left out. Torch runs
in the type that this CPU multiplies faster and in float32. Prints JSON and keeps it in ``results/query.json``, by CPU.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from typing import Any

import numpy as np
import torch

from cherche_models import hub
from cherche_models.kernel import library
from cherche_models.models import Model
from cherche_models.runtime import native
from cherche_models.runtime.device import dtype_name
from cherche_models.types import Encoding, Tokens
from tests.benchmarks.machine import keep, machine

MODELS, TYPES = ("cherche-tiny", "cherche-small"), ("fp32", None)
TOKENS = (4, 8, 12, 16, 24, 32, 48, 64)
TOLERANCE = {"fp32": 1e-5, "bf16": 5e-2}
"""Of answers, as a share of the largest weight; that of bf16 is torch's, since the kernel computes in float32."""
TEXT = "the effects of vitamin d on the bone density of older women and what a daily dose does in winter "


def query(model: Model, length: int) -> Tokens:
    """A text of so many tokens."""
    return model.tokenize([TEXT * (1 + length // 12)], "query", length)[0]


def difference(ours: Encoding, other: Encoding) -> float:
    """Largest difference of a weight or a component, as a share of the largest there is."""
    if ours.weights is None or other.weights is None or ours.embeddings is None or other.embeddings is None:
        raise SystemExit("the model has not both heads")
    dense = np.zeros((2, 1 + int(max(ours.weights.ids.max(), other.weights.ids.max()))), np.float32)
    for row, found in zip(dense, (ours.weights, other.weights), strict=True):
        row[found.ids] = found.weights
    weights = float(np.abs(dense[0] - dense[1]).max() / dense.max())
    return max(weights, float(np.abs(ours.embeddings.vectors - other.embeddings.vectors).max()))


def measure(model: Model, ways: dict[str, native.Choice], tokens: Tokens, rounds: int) -> dict[str, Any]:
    """Milliseconds of one length, both ways in each round."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    encoded: dict[str, Encoding] = {}
    for _ in range(rounds):
        for name, choice in ways.items():
            model.runtime._choice = choice  # type: ignore[attr-defined]
            started = time.thread_time()
            [encoded[name]] = model.encode_tokens([tokens], "query")
            taken[name].append(1000 * (time.thread_time() - started))
    apart = difference(*encoded.values())
    if apart > TOLERANCE[dtype_name(model.dtype)]:
        raise SystemExit(f"the answers differ by {apart:.1e}, so their speeds say nothing")
    by = {"min": min, "median": statistics.median}
    return {
        "tokens": len(tokens),
        "milliseconds_of_cpu": {
            name: {key: round(f(values), 3) for key, f in by.items()} for name, values in taken.items()
        },
        "times_faster": {key: round(f(taken["torch"]) / f(taken["kernel"]), 2) for key, f in by.items()},
        "largest_difference": float(f"{apart:.1e}"),
    }


def compare(name: str, dtype: str | None, rounds: int) -> dict[str, Any]:
    """One model in one type: what was chosen, what it costs, and each length."""
    model = hub.load(name, device="cpu", dtype=dtype)
    model.encode([TEXT], "query")
    kernels = library.installed().kernels
    if not kernels:
        raise SystemExit(f"there is nothing to compare: {library.installed().reason}")
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.thread_time()
    native.Native(model.backbone, kernels[-1])
    made, grown = time.thread_time() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    ways = {"kernel": native.Choice(max(TOKENS), "", kernels[-1]), "torch": native.Choice(0, "")}
    return {
        "model": name,
        "dtype": dtype_name(model.dtype),
        "queries": model.queries,
        "seconds_to_make": round(made, 3),
        "mib_more_at_most": round(grown / 1024, 1),
        "lengths": [measure(model, ways, query(model, length), rounds) for length in TOKENS],
    }


def main() -> None:
    """Compare, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    torch.set_num_threads(1)
    described = machine()
    report = {
        "command": " ".join(["python -m tests.benchmarks.query", *sys.argv[1:]]),
        "machine": described,
        "threads": 1,
        "kernel": kernels[-1].name if (kernels := library.installed().kernels) else "",
        "models": [compare(name, dtype, options.rounds) for name in MODELS for dtype in TYPES],
    }
    print(keep("query", report))


if __name__ == "__main__":
    main()
