"""MaxSim of a rerank from stored codes, beside maxsim-cpu and PyLate: ``python -m tests.benchmarks.maxsim``.

The peers get what they take: float32, decoded and in one array beforehand, so that their times hold no reading of codes
and ours do. All compute the same values in one thread; rounds alternate between all ways, and figures are CPU time of
the process. Prints JSON and keeps it, by CPU, in ``results/maxsim.json``. maxsim-cpu is measured where it is
installed: it is in the extra ``bench``.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ["RAYON_NUM_THREADS"] = "1"  # maxsim-cpu's threads, counted at its first call

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from cherche_models import codec, scores
from cherche_models.codes import codebook
from cherche_models.kernel import library
from cherche_models.kernel.library import Kernel
from cherche_models.types import Floats, TokenEmbeddings
from sidecar.cluster.places import java_home
from tests.benchmarks.machine import keep, machine

DIM, TOKENS, QUERY_TOKENS = 128, 180, 32
WINDOWS = ((100, "int8"), (1000, "int8"), (100, "residual2"), (100, "pool3+residual2"))
PEERS = ("maxsim-cpu", "PyLate")
TOLERANCE = 1e-4
PLUGIN = Path(__file__).parents[2] / "opensearch/plugin/src/main/java/org/cherche/opensearch"
CLASSES = ("MaxSim", "CodesHeader", "CodesDecoder", "Int8Codes")
Way = Callable[[], Floats]


def unit(seed: int, rows: int) -> Floats:
    """Random vectors of length 1."""
    vectors = np.random.default_rng(seed).standard_normal((rows, DIM), dtype=np.float32)
    found: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return found


def numpys(query: TokenEmbeddings, items: list[bytes]) -> Floats:
    """What runs where the kernel is not compiled."""
    packed, _ = codec.unpack_many(items, query.dim)
    return scores.maxsim(query, packed)


def compileds(kernel: Kernel, query: TokenEmbeddings, items: list[bytes], book: library.Book | None) -> Floats:
    """What runs where it is."""
    return kernel.maxsim(query.vectors, items, book)[0]


def pylates(query: torch.Tensor, documents: torch.Tensor) -> Floats:
    """As `pylate.scores.colbert_scores` of PyLate 1: products, the largest of each query token, their sum."""
    found = torch.einsum("ash,bth->abst", query.unsqueeze(0), documents).max(axis=-1).values.sum(axis=-1)
    result: Floats = found[0].numpy()
    return result


def ways(query: TokenEmbeddings, items: list[bytes], book: library.Book | None) -> dict[str, Way]:
    """All that is compared, by name."""
    decoded = codec.unpack_many(items, DIM)[0].vectors.reshape(len(items), -1, DIM)
    tensors = torch.from_numpy(query.vectors), torch.from_numpy(decoded)
    found: dict[str, Way] = {"cherche, numpy": lambda: numpys(query, items)}
    for kernel in library.installed().kernels:
        found[f"cherche, compiled, {kernel.name}"] = functools.partial(compileds, kernel, query, items, book)
    found["PyLate"] = lambda: pylates(*tensors)
    if find_spec("maxsim_cpu"):
        import maxsim_cpu

        found["maxsim-cpu"] = lambda: maxsim_cpu.maxsim_scores(query.vectors, decoded)
    return found


def agree(compared: dict[str, Way]) -> dict[str, float]:
    """Largest difference of a score from numpy's."""
    expected = compared["cherche, numpy"]()
    found = {name: float(np.abs(way() - expected).max()) for name, way in compared.items()}
    if max(found.values()) > TOLERANCE:
        raise SystemExit(f"the scores differ, so their speeds say nothing: {json.dumps(found)}")
    return {name: round(value, 7) for name, value in found.items()}


def measure(compared: dict[str, Way], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of CPU of each round; all ways in each round."""
    taken: dict[str, list[float]] = {name: [] for name in compared}
    for _ in range(rounds):
        for name, way in compared.items():
            started = time.process_time()
            way()
            taken[name].append(1000 * (time.process_time() - started))
    return taken


def compare(documents: int, form: str, rounds: int) -> dict[str, Any]:
    """One window: agreement, milliseconds, and how many times faster ours is than each peer."""
    query = TokenEmbeddings(unit(0, QUERY_TOKENS))
    trained = codebook.register(codebook.train(unit(1, 4 * codebook.CENTROIDS)))
    items = [codec.pack_codes(TokenEmbeddings(unit(2 + i, TOKENS)), form, (), trained) for i in range(documents)]
    book = next(codec.books(items, DIM), None)
    compared = ways(query, items, book)
    differences = agree(compared)
    taken = measure(compared, rounds)
    by = {"min": min, "median": statistics.median}
    ours = [name for name in taken if name.startswith("cherche")]
    return {
        "codec": form,
        "shape": f"{documents} x {TOKENS} x {DIM} before pooling, {QUERY_TOKENS} query tokens",
        "largest_difference_from_numpy": differences,
        "milliseconds_of_cpu": {
            name: {key: round(f(values), 3) for key, f in by.items()} for name, values in taken.items()
        },
        "times_faster": {
            f"{one} over {peer}": {key: round(f(taken[peer]) / f(taken[one]), 2) for key, f in by.items()}
            for one in ours
            for peer in PEERS
            if peer in taken
        },
    }


def plugins(rounds: int) -> dict[str, Any]:
    """The plugin's MaxSim with the same codes: milliseconds of CPU of a thread, by itself and after a warm-up."""
    query = TokenEmbeddings(unit(0, QUERY_TOKENS))
    items = [codec.pack_codes(TokenEmbeddings(unit(2 + i, TOKENS))) for i in range(WINDOWS[0][0])]
    home = java_home(os.environ)
    options = ["--add-modules", "jdk.incubator.vector"]
    with tempfile.TemporaryDirectory() as folder:
        data = struct.pack("<2i", QUERY_TOKENS, DIM) + query.vectors.astype("<f4").tobytes()
        data += struct.pack("<2i", len(items), len(items[0])) + b"".join(items)
        (Path(folder) / "codes").write_bytes(data)
        sources = [Path(__file__).with_name("MaxSimOfThePlugin.java"), *(PLUGIN / f"{name}.java" for name in CLASSES)]
        javac = [home / "bin" / "javac", "-nowarn", *options, "-d", folder, *sources]
        subprocess.run(javac, check=True, capture_output=True)
        run = [home / "bin" / "java", *options, "-cp", folder, "org.cherche.opensearch.MaxSimOfThePlugin"]
        done = subprocess.run([*run, f"{folder}/codes", str(rounds)], check=True, capture_output=True, text=True)
    printed = [float(line) for line in done.stdout.split()]
    taken, found = printed[:rounds], np.array(printed[rounds:], np.float32)
    return {
        "largest_difference_from_numpy": round(float(np.abs(found - numpys(query, items)).max()), 7),
        "milliseconds_of_cpu": {"min": round(min(taken), 3), "median": round(statistics.median(taken), 3)},
    }


def main() -> None:
    """Compare, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50, help="for 100 documents; a tenth for 1,000")
    parser.add_argument("--java", action="store_true", help="the plugin's MaxSim too; needs JDK 21 or later")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        figures = [compare(count, form, max(1, options.rounds * 100 // count)) for count, form in WINDOWS]
    report = {
        "command": " ".join(["python -m tests.benchmarks.maxsim", *sys.argv[1:]]),
        "machine": machine(),
        "threads": 1,
        "maxsim": library.described(),
        "maxsim-cpu": version("maxsim-cpu") if find_spec("maxsim_cpu") else "not installed",
        "windows": figures,
    }
    if options.java:
        report["plugin, int8, 100 documents"] = plugins(options.rounds)
    print(keep("maxsim", report))


if __name__ == "__main__":
    main()
