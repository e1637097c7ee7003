"""Encoding beside sentence-transformers and other runtimes: ``python -m tests.benchmarks.encode``.

Term weights beside its SparseEncoder, token embeddings beside its MultiVectorEncoder, of SciFact's titles (short) and
whole documents; ONNX Runtime, OpenVINO and fastembed too, where they are installed (`peers`). All get the same weights,
texts, maximum length and threads; peers their best batch size for the texts, found first. In one process rounds
alternate between all ways and count CPU time, so that a neighbour's load falls on each; the outputs are compared first.
Peak memory is that of a process which does nothing else. Linux only. Prints JSON and keeps it, by CPU, in
``results/encode.json``. Needs CHERCHE_TEST_DATA and CHERCHE_TEST_MODELS.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cherche_models import hub
from tests.benchmarks import peers
from tests.benchmarks.machine import keep, machine

HEADS = ("sparse", "late interaction")
WAYS = ("sentence-transformers fp32", "sentence-transformers bf16", "cherche fp32", "cherche bf16")
BATCHES, USUAL = (1, 4, 8, 16), 32
"""Sizes that peers try, and the one that sentence-transformers has by default, for memory."""
COMPARED, TRIAL = 16, 32
Encode = peers.Encode


def folder(variable: str, name: str) -> Path:
    """A folder of test data or checkpoints."""
    if not os.environ.get(variable):
        raise SystemExit(f"{variable} is not set: it names the folder that holds {name}")
    return Path(os.environ[variable]) / name


def texts(count: int, *, whole: bool = True) -> list[str]:
    """The first documents of SciFact, title and text; or the titles alone."""
    with (folder("CHERCHE_TEST_DATA", "scifact") / "corpus.jsonl").open(encoding="utf-8") as lines:
        documents = [json.loads(line) for _, line in zip(range(count), lines, strict=False)]
    return [f"{one['title']} {one['text']}" if whole else one["title"] for one in documents]


def checkpoint(head: str, made: Path) -> Path:
    """A folder that both libraries load: splade-tiny, or the token embeddings of cherche-small in PyLate's layout."""
    if head == "sparse":
        return folder("CHERCHE_TEST_MODELS", "splade-tiny")
    if not made.exists():
        hub.export(hub.load("cherche-small", device="cpu", dtype="fp32"), made, "pylate")
    return made


def encoder(model: Path, head: str, way: str) -> Encode:
    """Texts and a batch size in, one library's encodings out; ours chooses its batches itself."""
    library, dtype = way.split()
    if library == "cherche":
        ours = hub.load(model, device="cpu", dtype=dtype)
        return lambda some, _: ours.encode(some, "document")
    from sentence_transformers import MultiVectorEncoder, SparseEncoder

    kind = {"fp32": torch.float32, "bf16": torch.bfloat16}[dtype]
    if head == "sparse":
        sparse = SparseEncoder(str(model), device="cpu", model_kwargs={"dtype": kind})
        return lambda some, size: sparse.encode(list(some), batch_size=size, show_progress_bar=False)
    late = MultiVectorEncoder(str(model), device="cpu", model_kwargs={"dtype": kind})
    return lambda some, size: late.encode_document(list(some), batch_size=size, show_progress_bar=False)


def rows(found: Any, vocabulary: int) -> list[np.ndarray]:
    """One array for each text: its weights over the vocabulary, or its token embeddings."""
    if isinstance(found, torch.Tensor):
        return list(found.to_dense().float().numpy())
    if isinstance(found[0], torch.Tensor | np.ndarray):
        return [torch.as_tensor(one).float().numpy() for one in found]
    ours = hasattr(found[0], "embeddings")
    if ours and found[0].embeddings is not None:
        return [one.embeddings.vectors for one in found]
    dense = np.zeros((len(found), vocabulary), np.float32)
    for row, one in zip(dense, found, strict=True):
        ids, weights = (one.weights.ids, one.weights.weights) if ours else (one.indices, one.values)
        row[ids] = weights
    return list(dense)


def agreement(encoders: dict[str, Encode], some: Sequence[str]) -> dict[str, dict[str, float]]:
    """Worst cosine of a text and largest difference of a value, against sentence-transformers in float32."""
    reference = rows(encoders[WAYS[0]](some, COMPARED), 0)
    found = {}
    for way in [way for way in encoders if way != WAYS[0]]:
        pairs = list(zip(reference, rows(encoders[way](some, COMPARED), reference[0].shape[-1]), strict=True))
        cosines = [float((a * b).sum() / (np.linalg.norm(a) * np.linalg.norm(b))) for a, b in pairs]
        largest = max(float(np.abs(a - b).max()) for a, b in pairs)
        found[way] = {"worst_cosine": round(min(cosines), 6), "largest_difference": round(largest, 6)}
        if min(cosines) < 0.999 or ("fp32" in way and largest > 1e-4):
            raise SystemExit(f"the outputs of {way} differ, so their speeds say nothing: {json.dumps(found)}")
    return found


def seconds(encode: Encode, some: Sequence[str], size: int) -> float:
    """CPU time of one pass over the texts."""
    started = time.process_time()
    encode(some, size)
    return time.process_time() - started


def measure(encoders: dict[str, Encode], some: Sequence[str], rounds: int) -> dict[str, Any]:
    """Batch size and CPU seconds of each round; all ways in each round."""
    sizes = dict.fromkeys(encoders, BATCHES[0])
    for way in [way for way in encoders if not way.startswith("cherche")]:
        some_sizes = [size for size in BATCHES if size <= peers.LARGEST.get(way, size)]
        tried = {size: min(seconds(encoders[way], some[:TRIAL], size) for _ in range(2)) for size in some_sizes}
        sizes[way] = min(tried, key=lambda size: tried[size])
    taken: dict[str, list[float]] = {way: [] for way in encoders}
    for _ in range(rounds):
        for way, encode in encoders.items():
            taken[way].append(seconds(encode, some, sizes[way]))
    return {
        "documents": len(some),
        "batch_sizes": {way: size for way, size in sizes.items() if not way.startswith("cherche")},
        "cpu_seconds": {way: [round(s, 3) for s in values] for way, values in taken.items()},
        "documents_per_cpu_second": {way: round(len(some) / min(values), 1) for way, values in taken.items()},
        "times_faster": ratios(taken),
    }


def ratios(taken: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """How many times faster ours is than each of theirs, by the best and the median round."""
    by = {"min": min, "median": statistics.median}
    own = [way for way in taken if way.startswith("cherche")]
    pairs = [(ours, theirs) for ours in own for theirs in taken if theirs not in own]
    return {
        f"{ours} over {theirs}": {name: round(f(taken[theirs]) / f(taken[ours]), 2) for name, f in by.items()}
        for ours, theirs in pairs
    }


def peak(way: str, count: int, threads: int) -> dict[str, int]:
    """MiB of a process that loads one sparse encoder and encodes once: at its peak, and of that the encoding."""
    command = [sys.executable, "-m", "tests.benchmarks.encode", "--only", way]
    command += ["--documents", str(count), "--threads", str(threads)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def only(way: str, count: int) -> None:
    """The process that `peak` starts."""
    encode, some = encoder(checkpoint("sparse", Path()), "sparse", way), texts(count)
    encode(["warm up"], 1)
    before = high_water()
    encode(some, USUAL)
    print(json.dumps({"peak_mib": high_water(), "encoding_mib": high_water() - before}))


def high_water() -> int:
    """MiB that this process had at most; unlike ru_maxrss, nothing of the process that started it."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) // 1024


def main() -> None:
    """Compare, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=128, help="whole ones; of titles there are four times as many")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--types", nargs="+", default=["fp32", "bf16"], choices=["fp32", "bf16"])
    parser.add_argument("--only", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.only:
        only(options.only, options.documents)
        return
    ways = [way for way in WAYS if way.split()[1] in options.types]
    report: dict[str, Any] = {
        "command": "python -m tests.benchmarks.encode " + " ".join(sys.argv[1:]),
        "machine": machine(),
        "threads": options.threads,
        "memory": {way: peak(way, options.documents, options.threads) for way in ways},
    }
    corpora = {"titles": texts(4 * options.documents, whole=False), "abstracts": texts(options.documents)}
    with tempfile.TemporaryDirectory() as temporary:
        for head in HEADS:
            model = checkpoint(head, Path(temporary) / "late")
            encoders = {way: encoder(model, head, way) for way in ways}
            for way in peers.installed(head):
                encoders[way] = peers.encoder(way, model, head, Path(temporary), options.threads)
            report[head] = {"agreement_with_sentence_transformers_fp32": agreement(encoders, texts(COMPARED))}
            for name, some in corpora.items():
                report[head][name] = measure(encoders, some, options.rounds)
                print(head, name, json.dumps(report[head][name]["times_faster"]), file=sys.stderr, flush=True)
    print(keep("encode", report))


if __name__ == "__main__":
    main()
