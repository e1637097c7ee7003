"""Encoding beside a process that keeps one core busy: ``python -m tests.benchmarks.neighbour [--rounds N]``.

A thread of OpenMP that waits for another one spins, and on a busy machine the other one waits for the core that it
spins on. A sidecar has one thread for each document instead; the other settings are those without. Each round runs
every one in a process of its own, alone and beside a busy loop of the same priority, in turn: twelve of SciFact's
abstracts at a time, as a feed does. Needs CHERCHE_TEST_DATA; writes ``results/neighbour.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cherche_models import hub
from cherche_models.runtime import threads
from sidecar.models.threads import cpus
from tests.benchmarks.encode import texts
from tests.benchmarks.machine import machine

RESULTS = Path(__file__).parent / "results" / "neighbour.json"
SIDE_BY_SIDE = "a thread for each document, as a sidecar has it"
WAYS: Mapping[str, Mapping[str, str]] = {
    SIDE_BY_SIDE: {},
    "all threads for each operation": {},
    "OMP_WAIT_POLICY=PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"},
    "OMP_NUM_THREADS=1": {"OMP_NUM_THREADS": "1"},
}
MODELS = ("cherche-small", "cherche-tiny")
SECONDS = 5.0
AT_ONCE = 12
_BUSY = "while True: pass"


def once(name: str, way: str) -> dict[str, float]:
    """Encode twelve documents, again and again, and say what one took."""
    if way == SIDE_BY_SIDE:
        threads.share(cpus())
    model, some = hub.load(name, device="cpu"), texts(AT_ONCE)
    model.encode(some, "document")
    started, before, count = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - started < SECONDS:
        model.encode(some, "document")
        count += AT_ONCE
    seconds, cpu = time.perf_counter() - started, time.process_time() - before
    return {"ms": 1000 * seconds / count, "cpu_ms": 1000 * cpu / count}


@contextmanager
def neighbour(busy: bool) -> Iterator[None]:
    """A busy loop for the block, or none."""
    process = subprocess.Popen([sys.executable, "-c", _BUSY]) if busy else None
    try:
        yield
    finally:
        if process is not None:
            process.kill()
            process.wait()


def measured(model: str, rounds: int) -> dict[str, Any]:
    """Median and least milliseconds of a document, and of CPU, by way and company."""
    found: dict[str, dict[str, list[dict[str, float]]]] = {way: {"alone": [], "beside": []} for way in WAYS}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    for _ in range(rounds):
        for company in ("alone", "beside"):
            for way, variables in WAYS.items():
                command = [sys.executable, "-m", "tests.benchmarks.neighbour", "--only", model, way]
                with neighbour(company == "beside"):
                    done = subprocess.run(
                        command, stdout=subprocess.PIPE, text=True, check=True, env={**kept, **variables}
                    )
                found[way][company].append(json.loads(done.stdout.splitlines()[-1]))
    return {
        way: {
            f"{key}_{company}": {
                "median": round(statistics.median(one[key] for one in runs), 2),
                "min": round(min(one[key] for one in runs), 2),
            }
            for company, runs in companies.items()
            for key in ("ms", "cpu_ms")
        }
        for way, companies in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.only:
        print(json.dumps(once(*asked.only)))
        return
    about = machine()
    found = {name: measured(name, asked.rounds) for name in MODELS}
    record = {"machine": about, "rounds": asked.rounds, "models": found}
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
