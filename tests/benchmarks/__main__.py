"""``make bench``: the speed of encoding, of one query and of MaxSim, and what the server adds; JSON under results/."""

from __future__ import annotations

import subprocess
import sys

BENCHMARKS = ("encode", "query", "maxsim", "server")

for name in BENCHMARKS:
    subprocess.run([sys.executable, "-m", f"tests.benchmarks.{name}"], check=True)
