"""What it takes until a sidecar serves: ``make prove SECTION=start``.

A sidecar on the embedded engine, with each model that ships, as it is and with torch imported at once, in turns:
seconds of CPU of all its threads and resident memory when it says that it serves. Linux only.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks.process import cpu_of

MODELS = ("cherche-tiny", "cherche-small")
ROUNDS = 5
LENGTHS, BATCH = (64, 180, 512), 12
"""Tokens of documents, and how many are encoded at once."""
LIGHT = "from sidecar.cli import main\nmain()"
TORCH = f"""
from cherche_models.errors import Unreadable
from cherche_models.light import model
def left(*_, **__):
    raise Unreadable("torch is measured")
model.load = left
{LIGHT}
"""
WAYS = {"light": LIGHT, "torch": TORCH}


def measure() -> dict[str, Any]:
    """`help_` and `serving` together."""
    return {**help_(), "serving": serving(), "documents": documents()}


def help_() -> dict[str, Any]:
    """Seconds of ``cherche --help`` and whether torch was loaded."""
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "sidecar.cli", "--help"], check=True, capture_output=True)
        seconds.append(time.perf_counter() - began)
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom sidecar.cli import cherche\n"
        "assert CliRunner().invoke(cherche, ['--help']).exit_code == 0\nprint('torch' in sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    return {"median_seconds": round(statistics.median(seconds), 3), "torch_loaded": loaded.strip() == "True"}


def serving(models: Sequence[str] = MODELS, rounds: int = ROUNDS) -> dict[str, Any]:
    """For each model and way: seconds of CPU until it serves, and MiB then; best and median."""
    cpu, memory = defaultdict[tuple[str, str], list[float]](list), defaultdict[tuple[str, str], list[float]](list)
    for _ in range(rounds):
        for model in models:
            for way, program in WAYS.items():
                with served(model, program) as process:
                    cpu[model, way].append(cpu_of(process.pid))
                    memory[model, way].append(resident(process.pid))
    return {
        model: {
            way: {
                "cpu_seconds": _shown(cpu[model, way], 2),
                "rss_mib": _shown(memory[model, way], 0),
            }
            for way in WAYS
        }
        for model in models
    }


def documents(models: Sequence[str] = MODELS, rounds: int = ROUNDS) -> dict[str, Any]:
    """The kernel's seconds of CPU for documents of some lengths over torch's in its own choice of type, one thread."""
    import torch

    from cherche_models import hub
    from cherche_models.light import model as light

    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    for model in models:
        torchs = hub.load(model, device="cpu")
        kernels, found[model] = light.load(model, device="cpu", dtype="fp32"), {"dtype": str(torchs.dtype)}
        for length in LENGTHS:
            tokens = kernels.tokenize(
                [" ".join(f"word{n}" for n in range(start, 999)) for start in range(BATCH)], "document", length
            )
            times = defaultdict[str, list[float]](list)
            for turn in range(rounds + 1):
                for way, run in (("kernel", kernels.encode_tokens), ("torch", torchs.encode_tokens)):
                    began = time.thread_time()
                    run(tokens, "document")
                    if turn:  # the first is slow everywhere
                        times[way].append(time.thread_time() - began)
            ratios = [ours / other for ours, other in zip(times["kernel"], times["torch"], strict=True)]
            found[model][str(length)] = _shown(ratios, 2)
    return found


@contextmanager
def served(model: str, program: str = LIGHT) -> Iterator[subprocess.Popen[bytes]]:
    """A sidecar that serves a model that ships; torch computes in one thread."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHERCHE_")}
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "index.sqlite")
        environment = {**kept, "OMP_NUM_THREADS": "1", "CHERCHE_METRICS__PORT": "-1", "CHERCHE_EMBEDDED__PATH": path}
        command = [sys.executable, "-c", program, "serve", "--engine", "embedded", "--port", "0", "--model", model]
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
        try:
            assert process.stderr is not None
            said = list(_until_serving(process.stderr))
            if process.poll() is not None:
                raise SystemExit(f"the sidecar ended with {process.returncode}; its last: {said[-1:]}")
            yield process
        finally:
            process.kill()
            process.communicate()


def resident(pid: int) -> float:
    """MiB of a process that lie in memory."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


def _until_serving(lines: Any) -> Iterator[bytes]:
    for line in lines:
        yield line
        if line.startswith(b"{") and json.loads(line)["event"] == "serving":
            return


def _shown(values: Sequence[float], digits: int) -> dict[str, float]:
    return {"min": round(min(values), digits), "median": round(statistics.median(values), digits)}
