"""``make bench``: the speed of encoding beside a peer's, and what the server adds; JSON under results/."""

from __future__ import annotations

import subprocess
import sys

BENCHMARKS = ("encode", "server")

for name in BENCHMARKS:
    subprocess.run([sys.executable, "-m", f"tests.benchmarks.{name}"], check=True)
