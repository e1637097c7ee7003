"""Sparse encoding beside sentence-transformers' SparseEncoder: ``python -m tests.benchmarks.encode``.

Both get the same weights, texts (SciFact documents), maximum length and threads. In one process,
rounds alternate between all ways, so that a neighbour's load falls on each; the outputs are compared
first. Peak memory is that of a process which does nothing else. Linux only. Prints JSON and writes it to
``results/encode.json``. Needs CHERCHE_TEST_DATA and CHERCHE_TEST_MODELS.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.benchmarks.machine import machine

RESULTS = Path(__file__).parent / "results"
WAYS = ("sentence-transformers fp32", "sentence-transformers bf16", "cherche fp32", "cherche bf16")
BATCH = 32
Encode = Callable[[Sequence[str]], Any]


def folder(variable: str, name: str) -> Path:
    """A folder of test data or checkpoints."""
    if not os.environ.get(variable):
        raise SystemExit(f"{variable} is not set: it names the folder that holds {name}")
    return Path(os.environ[variable]) / name


def texts(count: int) -> list[str]:
    """The first documents of SciFact, title and text."""
    with (folder("CHERCHE_TEST_DATA", "scifact") / "corpus.jsonl").open(encoding="utf-8") as lines:
        documents = [json.loads(line) for _, line in zip(range(count), lines, strict=False)]
    return [f"{document['title']} {document['text']}" for document in documents]


def encoder(way: str) -> Encode:
    """Text in, term weights out, by one library in one type."""
    library, dtype = way.split()
    model = folder("CHERCHE_TEST_MODELS", "splade-tiny")
    if library == "cherche":
        from cherche_models import hub

        ours = hub.load(model, device="cpu", dtype=dtype)
        return lambda some: ours.encode(some, "document")
    from sentence_transformers import SparseEncoder

    kind = {"fp32": torch.float32, "bf16": torch.bfloat16}[dtype]
    theirs = SparseEncoder(str(model), device="cpu", model_kwargs={"dtype": kind})
    return lambda some: theirs.encode(list(some), batch_size=BATCH, show_progress_bar=False)


def dense(found: Any, vocabulary: int) -> np.ndarray:
    """Rows of either library's answer."""
    if isinstance(found, torch.Tensor):
        return found.to_dense().float().numpy()
    rows = np.zeros((len(found), vocabulary), np.float32)
    for row, encoding in zip(rows, found, strict=True):
        row[encoding.weights.ids] = encoding.weights.weights
    return rows


def agreement(encoders: dict[str, Encode], some: Sequence[str]) -> dict[str, dict[str, float]]:
    """Worst cosine and largest difference of a weight, against sentence-transformers in float32."""
    reference = dense(encoders[WAYS[0]](some), 0)
    found = {}
    for way in WAYS[1:]:
        rows = dense(encoders[way](some), reference.shape[1])
        norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(reference, axis=1)
        found[way] = {
            "worst_cosine": round(float(((rows * reference).sum(axis=1) / norms).min()), 6),
            "largest_difference": round(float(np.abs(rows - reference).max()), 6),
        }
    if found["cherche fp32"]["largest_difference"] > 1e-4 or found["cherche bf16"]["worst_cosine"] < 0.999:
        raise SystemExit(f"the outputs differ, so their speeds say nothing: {json.dumps(found)}")
    return found


def measure(encoders: dict[str, Encode], some: Sequence[str], rounds: int) -> dict[str, list[float]]:
    """Seconds of each round; all ways in each round."""
    taken: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way, encode in encoders.items():
            started = time.perf_counter()
            encode(some)
            taken[way].append(time.perf_counter() - started)
    return taken


def peak(way: str, count: int, threads: int) -> dict[str, int]:
    """MiB of a process that loads one encoder and encodes once: at its peak, and of that the encoding."""
    command = [sys.executable, "-m", "tests.benchmarks.encode", "--only", way]
    command += ["--documents", str(count), "--threads", str(threads)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def only(way: str, count: int) -> None:
    """The process that `peak` starts."""
    encode, some = encoder(way), texts(count)
    encode(["warm up"])
    before = high_water()
    encode(some)
    print(json.dumps({"peak_mib": high_water(), "encoding_mib": high_water() - before}))


def high_water() -> int:
    """MiB that this process had at most; unlike ru_maxrss, nothing of the process that started it."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) // 1024


def ratios(taken: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """How many times faster ours is than each of theirs, by the best and the median round."""
    by = {"min": min, "median": statistics.median}
    pairs = [(ours, theirs) for ours in WAYS[2:] for theirs in WAYS[:2]]
    return {
        f"{ours} over {theirs}": {name: round(f(taken[theirs]) / f(taken[ours]), 2) for name, f in by.items()}
        for ours, theirs in pairs
    }


def main() -> None:
    """Compare, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.only:
        only(options.only, options.documents)
        return
    some = texts(options.documents)
    memory = {way: peak(way, options.documents, options.threads) for way in WAYS}
    encoders = {way: encoder(way) for way in WAYS}
    agreed = agreement(encoders, some[:BATCH])
    taken = measure(encoders, some, options.rounds)
    report = {
        "command": "python -m tests.benchmarks.encode " + " ".join(sys.argv[1:]),
        "machine": machine(),
        "threads": options.threads,
        "documents": len(some),
        "batch_size_of_sentence_transformers": BATCH,
        "agreement_with_sentence_transformers_fp32": agreed,
        "seconds": {way: [round(s, 3) for s in values] for way, values in taken.items()},
        "documents_per_second": {way: round(len(some) / min(values), 1) for way, values in taken.items()},
        "times_faster": ratios(taken),
        "memory": memory,
    }
    text = json.dumps(report, indent=2)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "encode.json").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
