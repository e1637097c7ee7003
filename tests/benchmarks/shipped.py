"""What a document costs with each shipped model: ``python -m tests.benchmarks.shipped [--documents N] [--rounds N]``.

Documents are SciFact's abstracts, encoded by both heads at the model's own maximum length, as a feed does. Each round
is a process of its own for each model in turn, so that a neighbour's load falls on both, and memory is that of a
process which does nothing else. The share of the GEMM peak relates the multiplications that the layers and the
vocabulary's decoder need to what ``torch.mm`` reaches in the same process, at sizes of the model's own. Linux only.
Needs CHERCHE_TEST_DATA; writes ``results/shipped.json``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from cherche_models import codec, grid, hub
from cherche_models.models.base import Model
from cherche_models.types import Encoding, TermWeights
from tests.benchmarks.encode import high_water, texts
from tests.benchmarks.machine import machine

RESULTS = Path(__file__).parent / "results" / "shipped.json"
MODELS = ("cherche-small", "cherche-tiny")
_ROWS, _TIMES = 2048, 20


def once(name: str, count: int) -> dict[str, float]:
    """Encode the documents once, and say what it took."""
    model, some = hub.load(name, device="cpu"), texts(count)
    model.encode(some[:8], "document")
    before = high_water()
    started = time.perf_counter()
    found = model.encode(some, "document")
    seconds = time.perf_counter() - started
    memory = {"peak_mib": high_water(), "encoding_mib": high_water() - before}
    peak = gemm_peak(model)
    lengths = [len(tokens.ids) for tokens in model.tokenize(some, "document")]
    return {
        "documents_per_second": count / seconds,
        "tokens_per_document": statistics.mean(lengths),
        "terms_per_document": statistics.mean(len(one.weights or ()) for one in found),
        "bytes_per_document": statistics.mean(map(stored, found)),
        "gflop_per_second": sum(flop(model, length) for length in lengths) / seconds / 1e9,
        "gemm_peak_gflop_per_second": peak / 1e9,
        **memory,
    }


def stored(found: Encoding) -> int:
    """Bytes of the packed terms and int8 codes of a document."""
    weights = found.weights or TermWeights.empty()
    kept = grid.storable(weights.weights)
    terms = codec.pack_terms(TermWeights(weights.ids[kept], grid.round_to_grid(weights.weights[kept])))
    return len(terms) + (len(codec.pack_codes(found.embeddings)) if found.embeddings is not None else 0)


def flop(model: Model, length: int) -> float:
    """Floating point operations of a document: projections and attention of each layer, and the decoder."""
    shape = model.backbone.model.config
    hidden, inner = shape.hidden_size, shape.intermediate_size
    layer = 2 * (4 * hidden * hidden + 2 * hidden * inner) + 4 * length * hidden
    head = 2 * hidden * (hidden + model.backbone.decoder.out_features) + 2 * hidden * model.dim
    return float(length * (shape.num_hidden_layers * layer + head))


def gemm_peak(model: Model) -> float:
    """The best of many products of the sizes that the model multiplies, operations per second."""
    shape = model.backbone.model.config
    best = 0.0
    for width in (shape.hidden_size, shape.intermediate_size, model.backbone.decoder.out_features):
        left = torch.randn(_ROWS, shape.hidden_size, dtype=model.dtype)
        right = torch.randn(shape.hidden_size, width, dtype=model.dtype)
        for _ in range(_TIMES):
            started = time.perf_counter()
            torch.mm(left, right)
            best = max(best, 2 * _ROWS * shape.hidden_size * width / (time.perf_counter() - started))
    return best


def rounds(name: str, found: list[dict[str, float]]) -> dict[str, Any]:
    """Median and best of the rounds."""
    shares = [one["gflop_per_second"] / one["gemm_peak_gflop_per_second"] for one in found]
    size = sum(path.stat().st_size for path in (hub.PRETRAINED / name).rglob("*") if path.is_file())
    return {
        "folder_mb": round(size / 1e6, 1),
        "documents_per_second": {
            "median": round(statistics.median(one["documents_per_second"] for one in found), 1),
            "best": round(max(one["documents_per_second"] for one in found), 1),
        },
        "share_of_gemm_peak": {"median": round(statistics.median(shares), 2), "best": round(max(shares), 2)},
        **{
            key: round(statistics.median(one[key] for one in found), 1)
            for key in found[0]
            if key != "documents_per_second"
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--documents", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", choices=MODELS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    if asked.only:
        print(json.dumps(once(asked.only, asked.documents)))
        return
    found: dict[str, list[dict[str, float]]] = {name: [] for name in MODELS}
    for _ in range(asked.rounds):
        for name in MODELS:
            command = [sys.executable, "-m", "tests.benchmarks.shipped", "--only", name]
            command += ["--documents", str(asked.documents), "--threads", str(asked.threads)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
    record = {
        "machine": machine(),
        "documents": asked.documents,
        "threads": asked.threads,
        "rounds": asked.rounds,
        "models": {name: rounds(name, each) for name, each in found.items()},
    }
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record["models"], indent=1))


if __name__ == "__main__":
    main()
