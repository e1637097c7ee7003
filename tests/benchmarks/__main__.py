"""``make bench``: the speed of encoding, of one query and of MaxSim, what the server adds; JSON and pictures of it."""

from __future__ import annotations

import subprocess
import sys

BENCHMARKS = ("encode", "ablation", "query", "maxsim", "server", "plots")

for name in BENCHMARKS:
    subprocess.run([sys.executable, "-m", f"tests.benchmarks.{name}"], check=True)
