"""What each gain of the encoder gives, by leaving it out: ``python -m tests.benchmarks.ablation``.

The models that ship encode SciFact's titles and abstracts, and one query of each length, as they do by default, with
one gain left out at a time, and with none. Rounds alternate between all ways, in one thread; figures are CPU time, how
many times as long it takes without. Outputs are compared first. Prints JSON and keeps it, by CPU, in
``results/ablation.json``. Needs CHERCHE_TEST_DATA.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from cherche_models import hub
from cherche_models.models import Model
from cherche_models.runtime import native
from cherche_models.runtime.device import dtype_name
from cherche_models.types import Encoding
from tests.benchmarks.encode import texts
from tests.benchmarks.machine import keep, machine
from tests.benchmarks.query import query

MODELS = ("cherche-tiny", "cherche-small")
TOKENS = (8, 16, 32)
LEAST_COSINE = 0.99
"""Of a text's weights with and without a gain: bfloat16 differs from float32 by so much at most."""
Change = Callable[[Model], object]


def _no_packing(model: Model) -> None:
    model.runtime._is_known = False  # type: ignore[attr-defined]


def _no_screen(model: Model) -> None:
    model.runtime._gain = 0.0  # type: ignore[attr-defined]


def _no_kernel(model: Model) -> None:
    model.runtime._choice = native.Choice(0, "left out")  # type: ignore[attr-defined]


DOCUMENTS: dict[str, tuple[Change, ...]] = {
    "as it is": (),
    "without packed batches": (_no_packing,),
    "without the int8 screen of terms": (_no_screen,),
    "in fp32": (),
    "with none of these": (_no_packing, _no_screen),
}
QUERIES: dict[str, tuple[Change, ...]] = {
    "as it is": (),
    "without the compiled kernel": (_no_kernel,),
    "with none of these": (_no_kernel, _no_packing, _no_screen),
}
IN_FP32 = frozenset({"in fp32", "with none of these"})


def ways(name: str, changes: dict[str, tuple[Change, ...]]) -> dict[str, Model]:
    """A model for each way, the changes made."""
    found = {}
    for way, own in changes.items():
        model = found[way] = hub.load(name, device="cpu", dtype="fp32" if way in IN_FP32 else None)
        for change in own:
            change(model)
    return found


def agree(found: dict[str, Sequence[Encoding]]) -> float:
    """Least cosine of a text's term weights with those of the first way.

    Raises
    ------
    SystemExit
        If a gain changes what is computed.
    """
    [(_, reference), *others] = found.items()
    least = 1.0
    for way, encodings in others:
        for one, other in zip(reference, encodings, strict=True):
            assert one.weights is not None
            assert other.weights is not None
            norms = [float(np.linalg.norm(each.weights)) for each in (one.weights, other.weights)]
            cosine = one.weights.dot(other.weights) / (norms[0] * norms[1])
            least = min(least, cosine)
            if cosine < LEAST_COSINE:
                raise SystemExit(f"{way} computes something else (cosine {cosine:.4f}), so its time says nothing")
    return round(least, 5)


def measure(models: dict[str, Model], run: Callable[[Model], Sequence[Encoding]], rounds: int) -> dict[str, Any]:
    """CPU seconds of each way in each round, and how many times as long as the first."""
    least = agree({way: run(model) for way, model in models.items()})
    taken: dict[str, list[float]] = {way: [] for way in models}
    for _ in range(rounds):
        for way, model in models.items():
            started = time.process_time()
            run(model)
            taken[way].append(time.process_time() - started)
    [(_, own), *others] = taken.items()
    return {
        "least_cosine": least,
        "cpu_seconds": {way: [round(one, 5) for one in values] for way, values in taken.items()},
        "times_as_long": {
            way: {"min": round(min(values) / min(own), 2), "median": round(_middle(values) / _middle(own), 2)}
            for way, values in others
        },
    }


def _middle(values: Sequence[float]) -> float:
    return statistics.median(values)


def report(name: str, documents: int, rounds: int) -> dict[str, Any]:
    """All figures of one model."""
    encoders, asked = ways(name, DOCUMENTS), ways(name, QUERIES)
    found: dict[str, Any] = {"type": dtype_name(encoders["as it is"].dtype)}
    for kind, some in (("titles", texts(4 * documents, whole=False)), ("abstracts", texts(documents))):
        found[kind] = measure(encoders, lambda model, some=some: model.encode(some, "document"), rounds)
        print(name, kind, json.dumps(found[kind]["times_as_long"]), file=sys.stderr, flush=True)
    for length in TOKENS:
        tokens = [query(asked["as it is"], length)]
        one = measure(asked, lambda model, tokens=tokens: model.encode_tokens(tokens, "query"), 10 * rounds)
        found[f"a query of {length} tokens"] = one
        print(name, length, json.dumps(one["times_as_long"]), file=sys.stderr, flush=True)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--documents", type=int, default=32, help="whole ones; of titles there are four times as many")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    given = sys.argv[1:] if arguments is None else arguments
    print(
        keep(
            "ablation",
            {
                "command": " ".join(["python -m tests.benchmarks.ablation", *given]),
                "machine": machine(),
                "threads": 1,
                "models": {name: report(name, options.documents, options.rounds) for name in MODELS},
            },
        )
    )


if __name__ == "__main__":
    main()
