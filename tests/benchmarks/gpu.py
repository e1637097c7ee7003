"""What a GPU does, and whether it does it right: ``make gpu`` (``python -m tests.benchmarks.gpu [--device D]``).

At most ten minutes on a machine with CUDA or MPS, a bare PyTorch and this package; texts are the documentation of
Python's standard library. Each model that ships encodes them on the device, in the type that is chosen there and in
float32, and the first of them on the CPU in float32 too: term weights, token vectors, MaxSim and the losses of two
training steps are compared within `TOLERANCES`. Documents per second come with the share of what ``torch.mm`` reaches
on the device, in the same type; one query comes with its milliseconds. Writes ``results/gpu-DEVICE.json``; exits with 1
where results differ. With ``--device cpu`` it compares the CPU with itself, which tests the command.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cherche_models import hub
from cherche_models.losses import JointLoss
from cherche_models.models import Model
from cherche_models.runtime.device import dtype_name, pick_device
from cherche_models.runtime.torch_maxsim import PackedTensor, maxsim
from cherche_models.scores import pack
from cherche_models.train import Example, Settings, fit
from cherche_models.types import Encoding, TermWeights
from sidecar.demo.corpus import standard_library
from tests.benchmarks.machine import machine
from tests.benchmarks.shipped import flop

RESULTS = Path(__file__).parent / "results"
MODELS = ("cherche-tiny", "cherche-small")
TRAINED: dict[str, dict[str, Any]] = {
    "joint": {},
    "splade": {},
    "colbert": {},
    "sparse_embed": {"new_head": True, "dim": 64},
}
ROUNDS = 5
QUERIES, QUERY = 50, "how do I read a file line by line without loading it whole"
TOLERANCES = {
    "fp32": {"term weights": 1e-3, "token vectors": 1e-4, "MaxSim": 1e-4},
    "bf16": {"term weights": 5e-2, "token vectors": 2e-2, "MaxSim": 2e-2},
}
"""Weights: of a text's largest one. Vectors: 1 - cosine. MaxSim: of the largest score."""
LOSS = JointLoss(query_flops=1e-2, document_flops=1e-2, sparse_scale=0.02, maxsim_scale=0.2)
LOSSES = 1e-3
"""Of the CPU's loss, before a step and after it."""


def synchronize(device: torch.device) -> None:
    """Wait for what the device was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def gemm_peak(device: torch.device, dtype: torch.dtype, size: int) -> float:
    """Operations per second of the fastest of some square products."""
    left, right = (torch.randn(size, size, dtype=dtype, device=device) for _ in range(2))
    best = 0.0
    for _ in range(10):
        synchronize(device)
        started = time.perf_counter()
        torch.mm(left, right)
        synchronize(device)
        best = max(best, 2 * size**3 / (time.perf_counter() - started))
    return best


def weights_differ(one: TermWeights, other: TermWeights) -> float:
    """Largest difference of a weight, as a part of the largest weight."""
    first, second = (dict(zip(each.ids.tolist(), each.weights.tolist(), strict=True)) for each in (one, other))
    most = max([*first.values(), *second.values(), 0.0])
    return max((abs(first.get(i, 0.0) - second.get(i, 0.0)) for i in first | second), default=0.0) / (most or 1.0)


def differences(found: Sequence[Encoding], wanted: Sequence[Encoding], device: torch.device) -> dict[str, float]:
    """How far encodings are from the CPU's, and MaxSim on the device from what they give on the CPU."""
    pairs = list(zip(found, wanted, strict=True))
    terms = max(weights_differ(a.weights or TermWeights.empty(), b.weights or TermWeights.empty()) for a, b in pairs)
    vectors = [(a.embeddings, b.embeddings) for a, b in pairs if a.embeddings is not None and b.embeddings is not None]
    cosines = [np.einsum("td,td->t", a.vectors, b.vectors) for a, b in vectors]
    mine, own = [a for a, _ in vectors], [b for _, b in vectors]
    there = maxsim(mine[:8], PackedTensor.of(pack(mine), device))
    here = maxsim(own[:8], PackedTensor.of(pack(own)))
    return {
        "term weights": terms,
        "token vectors": float(1 - min(cosine.min() for cosine in cosines)),
        "MaxSim": float(np.abs(there - here).max() / np.abs(here).max()),
    }


def encoding(name: str, dtype: str | None, device: torch.device, texts: Sequence[str], size: int) -> dict[str, Any]:
    """Speed of a model in a type; the best of some rounds after one that is not counted."""
    model = hub.load(name, device=str(device), dtype=dtype)
    lengths = [len(tokens.ids) for tokens in model.tokenize(texts, "document")]
    seconds = []
    for _ in range(1 + ROUNDS):
        synchronize(device)
        started = time.perf_counter()
        found = model.encode(texts, "document")
        seconds.append(time.perf_counter() - started)
    operations = sum(flop(model, length) for length in lengths)
    peak = gemm_peak(device, model.dtype, size)
    return {
        "type": dtype_name(model.dtype),
        "documents_per_second": {
            "median": round(len(texts) / statistics.median(seconds[1:]), 1),
            "best": round(len(texts) / min(seconds[1:]), 1),
        },
        "gemm_peak_tflop_per_second": round(peak / 1e12, 3),
        "share_of_gemm_peak": round(operations / min(seconds[1:]) / peak, 4),
        "found": found,
    }


def query(name: str, device: torch.device) -> dict[str, Any]:
    """Milliseconds of one query, and what was measured of a recorded graph, see `runtime.graphs`."""
    model = hub.load(name, device=str(device))
    seconds = []
    for _ in range(10 + QUERIES):
        started = time.perf_counter()
        model.encode([QUERY], "query")
        seconds.append(time.perf_counter() - started)
    times = {"median": statistics.median(seconds[10:]), "best": min(seconds[10:])}
    return {"milliseconds": {key: round(1000 * value, 3) for key, value in times.items()}, "runs": model.queries}


def losses(architecture: str, device: torch.device, texts: Sequence[str]) -> list[float]:
    """Losses of two steps: the second is of weights that the first has changed."""
    examples = [Example(" ".join(text.split()[:6]), text, (texts[i - 1],)) for i, text in enumerate(texts)]
    torch.manual_seed(0)
    model: Model = hub.load(
        "cherche-tiny", device=str(device), dtype="fp32", architecture=architecture, **TRAINED[architecture]
    )
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # devices draw other random numbers
    settings = Settings(steps=2, negatives=1, learning_rate=1e-4, query_length=16, document_length=64)
    return fit(model, lambda _: examples, LOSS, settings)


def compare(device: torch.device, documents: int, compared: int, size: int) -> dict[str, Any]:
    """All figures of a device, and what is beyond the tolerances."""
    texts = [entry.text for entry in standard_library()][:documents]
    record: dict[str, Any] = {"models": {}, "queries": {}, "training": {}, "beyond": []}
    for name in MODELS:
        record["queries"][name] = query(name, device)
        wanted = hub.load(name, device="cpu", dtype="fp32").encode(texts[:compared], "document")
        for dtype in (None, "fp32"):
            figures = encoding(name, dtype, device, texts, size)
            figures["differs"] = differences(figures.pop("found")[:compared], wanted, device)
            record["models"][f"{name}, {dtype or 'chosen'}"] = figures
            for part, most in TOLERANCES[figures["type"]].items():
                if not figures["differs"][part] <= most:
                    record["beyond"].append(f"{name} in {figures['type']}: {part}")
    for architecture in TRAINED:
        ours, wanted_losses = (losses(architecture, where, texts[:8]) for where in (device, torch.device("cpu")))
        record["training"][architecture] = {"losses": ours, "on the CPU": wanted_losses}
        if not np.allclose(ours, wanted_losses, rtol=LOSSES, atol=0):
            record["beyond"].append(f"training of {architecture}")
    return record


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="", help="cuda, cuda:1, mps, or cpu")
    parser.add_argument("--documents", type=int, default=4096)
    parser.add_argument("--compared", type=int, default=64, help="documents that the CPU encodes too")
    parser.add_argument("--size", type=int, default=4096, help="rows of the products that the share is of")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the JSON")
    asked = parser.parse_args(arguments)
    device = pick_device(asked.device or None)
    if device.type == "cpu" and not asked.device:
        print("PyTorch finds neither CUDA nor MPS here: --device cpu compares the CPU with itself", file=sys.stderr)
        return 2
    torch.backends.cuda.matmul.allow_tf32 = False
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    record = {
        "machine": {**machine(), "device": name},
        **{key: getattr(asked, key) for key in ("documents", "compared", "size")},
        "tolerances": {**TOLERANCES, "losses": LOSSES},
        **compare(device, asked.documents, asked.compared, asked.size),
    }
    path = asked.out / f"gpu-{device.type}.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({key: record[key] for key in ("models", "queries", "training", "beyond")}, indent=1))
    return 1 if record["beyond"] else 0


if __name__ == "__main__":
    sys.exit(main())
