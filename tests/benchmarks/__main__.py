"""``make bench``: the speed of encoding and of MaxSim beside peers', and what the server adds; JSON under results/."""

from __future__ import annotations

import subprocess
import sys

BENCHMARKS = ("encode", "maxsim", "server")

for name in BENCHMARKS:
    subprocess.run([sys.executable, "-m", f"tests.benchmarks.{name}"], check=True)
