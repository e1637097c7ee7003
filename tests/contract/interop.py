"""``make interop``: PyLate and we score alike with each other's models; neural-cherche 1.4.3 does as compat does.

Both need older libraries than ours and live in an environment of their own; the two sides meet
through folders and ``.npz`` files.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cherche_models import hub
from cherche_models.models import ColBERT, Model
from cherche_models.scores import maxsim, pack
from cherche_models.tokenizer import TextFormat
from tests import checkpoints
from tests.contract import peers

TOLERANCE = 1e-4
TEXTS = (
    "Aspirin prevents stroke.",
    "The effect of prestressing on the strength of reinforced concrete, and what was measured.",
    "def run(args, capture_output=False): run a command and capture what it prints",
    "neural search",
)
PEER = """
import json, sys, numpy, torch
from pylate import models, scores
job = json.load(open(sys.argv[1]))
found = {}
for name, case in job["cases"].items():
    model = models.ColBERT(model_name_or_path=case["folder"], device="cpu", **case["options"])
    if case["save"]:
        model.save_pretrained(case["save"])
    sides = [
        model.encode(job["texts"], is_query=is_query, convert_to_numpy=True) for is_query in (True, False)
    ]
    for kind, side in zip(("query", "document"), sides):
        found |= {f"{name}/{kind}{i}": rows for i, rows in enumerate(side)}
    found[f"{name}/scores"] = numpy.array(
        [[float(scores.colbert_scores(*(torch.tensor(x)[None] for x in pair))) for pair in ((q, d) for d in sides[1])]
         for q in sides[0]]
    )
numpy.savez(sys.argv[2], **found)
"""


def main() -> None:
    """Encode and score the same texts with the same models in both environments; then the tests of neural-cherche."""
    peers.make()
    with tempfile.TemporaryDirectory() as scratch:
        cases = _cases(Path(scratch))
        job, answers = Path(scratch) / "job.json", Path(scratch) / "peer.npz"
        job.write_text(json.dumps({"cases": cases, "texts": TEXTS}))
        peers.run("-c", PEER, job, answers)
        found = np.load(answers)
        worst = {name: _difference(name, case, found) for name, case in cases.items()}
    for name, (component, score) in worst.items():
        print(f"{name}: largest difference of a component {component:.1e}, of a score {score:.1e}")
    if max(max(pair) for pair in worst.values()) > TOLERANCE:
        raise SystemExit(f"a difference is above {TOLERANCE:g}")
    tests = Path(__file__).with_name("test_neural_cherche.py")
    raise SystemExit(subprocess.run([sys.executable, "-m", "pytest", "-q", tests], check=False).returncode)


def _cases(scratch: Path) -> dict[str, dict[str, Any]]:
    """What PyLate opens and, where it shall save, writes for us."""
    model = _load(hub.PRETRAINED / "cherche-tiny")
    hub.export(model, scratch / "tiny", format="pylate")
    hub.save(_marked(scratch / "base"), scratch / "marked")
    lengths = {"query_length": 12, "document_length": 40, "embedding_size": 16}
    return {
        "cherche-tiny, exported": _case(scratch / "tiny"),
        "a ColBERT with markers, as saved": _case(scratch / "marked"),
        "PyLate's own, from an encoder": _case(
            checkpoints.encoder(scratch / "encoder", seed=5), save=scratch / "theirs", **lengths
        ),
        "Stanford's": _case(checkpoints.stanford(scratch / "stanford")),
    }


def _case(folder: Path, save: Path | None = None, **options: object) -> dict[str, Any]:
    return {"folder": str(folder), "save": str(save) if save else "", "options": options}


def _marked(base: Path) -> ColBERT:
    """Markers, a query filled up with masks, and no punctuation in documents: what ColBERT papers have."""
    plain = hub.load(checkpoints.encoder(base), device="cpu", dtype="fp32", architecture="colbert", new_head=True)
    words = plain.tokenizer
    asks, tells = words.id_of("[unused0]"), words.id_of("[unused1]")
    skip = [i for i in (words.id_of(mark) for mark in ".,()=:") if i is not None]
    return ColBERT(
        plain.backbone,
        words,
        TextFormat(40, marker=tells),
        TextFormat(14, marker=asks, expand=True),
        dim=16,
        skip=skip,
    ).eval()


def _load(folder: str | Path) -> Model:
    return hub.load(folder, device="cpu", dtype="fp32")


def _difference(name: str, case: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[float, float]:
    model = _load(case["save"] or case["folder"])
    worst, sides = 0.0, {}
    for kind in ("query", "document"):
        sides[kind] = [one.embeddings for one in model.encode(list(TEXTS), kind)]
        for i, ours in enumerate(sides[kind]):
            theirs = found[f"{name}/{kind}{i}"]
            if theirs.shape != ours.vectors.shape:
                raise SystemExit(f"{name}, {kind} {i}: PyLate gives {theirs.shape}, we give {ours.vectors.shape}")
            worst = max(worst, float(np.abs(theirs - ours.vectors).max()))
    scores = np.stack([maxsim(query, pack(sides["document"])) for query in sides["query"]])
    return worst, float(np.abs(scores - found[f"{name}/scores"]).max())


if __name__ == "__main__":
    sys.exit(main())
