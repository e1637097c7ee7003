"""``make interop``: what we export loads in PyLate, and neural-cherche 1.4.3 scores as our compat mode does.

Both need older libraries than ours and live in an environment of their own; the two sides meet
through folders and ``.npz`` files.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.contract import peers

TOLERANCE = 2e-3  # the shipped weights are fp16; PyLate computes in fp32
TEXTS = (
    "Aspirin prevents stroke.",
    "The effect of prestressing on the strength of reinforced concrete, and what was measured.",
    "def run(args, capture_output=False): run a command and capture what it prints",
)
PEER = """
import sys, numpy
from pylate import models
folder, texts, out = sys.argv[1], sys.argv[3:], sys.argv[2]
model = models.ColBERT(model_name_or_path=folder, device="cpu")
found = {}
for kind in ("query", "document"):
    for i, rows in enumerate(model.encode(texts, is_query=kind == "query", convert_to_numpy=True)):
        found[f"{kind}{i}"] = rows
numpy.savez(out, **found)
"""


def main() -> None:
    """Export the shipped model, encode in both environments, compare row by row; then the tests of neural-cherche."""
    from cherche_models import hub

    peers.make()
    model = hub.load(hub.PRETRAINED / "cherche-tiny", device="cpu", dtype="fp32")
    with tempfile.TemporaryDirectory() as scratch:
        folder, answers = Path(scratch) / "export", Path(scratch) / "peer.npz"
        hub.export(model, folder, format="pylate")
        peers.run("-c", PEER, folder, answers, *TEXTS)
        peer = np.load(answers)
        worst = max(_difference(model, kind, peer) for kind in ("query", "document"))
    print(f"PyLate agrees on {2 * len(TEXTS)} texts; largest difference of a component {worst:.1e}")
    if worst > TOLERANCE:
        raise SystemExit(f"the difference is above {TOLERANCE:g}")
    tests = Path(__file__).with_name("test_neural_cherche.py")
    raise SystemExit(subprocess.run([sys.executable, "-m", "pytest", "-q", tests], check=False).returncode)


def _difference(model: object, kind: str, peer: np.lib.npyio.NpzFile) -> float:
    ours = model.encode(list(TEXTS), kind=kind)  # type: ignore[attr-defined]  # any model with a late head
    worst = 0.0
    for i, encoding in enumerate(ours):
        theirs, rows = peer[f"{kind}{i}"], encoding.embeddings.vectors
        if theirs.shape != rows.shape:
            raise SystemExit(f"{kind} {i}: PyLate gives {theirs.shape}, we give {rows.shape}")
        worst = max(worst, float(np.abs(theirs - rows).max()))
    return worst


if __name__ == "__main__":
    sys.exit(main())
