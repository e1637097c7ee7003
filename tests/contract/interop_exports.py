"""``make interop``: sentence-transformers reads our exports, beside transformers 4 and 5, and gives the same numbers.

Each environment holds the releases of `RELEASES` and sees the project's own packages behind them: torch alone takes
gigabytes, and its release is not what is tried. The project's datasets needs a later huggingface-hub than transformers
4, which gets an older one. The table becomes part of the page of exports.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cherche_models import hub
from cherche_models.models import Model
from sidecar.gateway.generate import filled
from tests import checkpoints
from tests.contract.peers import QUIET, ROOT

TOLERANCE = 1e-5
PAGE = Path(hub.__file__).parent / "docs" / "from-checkpoint-to-cluster.md"
RELEASES = {
    "transformers4": ("transformers==4.57.*", "sentence-transformers==5.7.*", "optimum-onnx>=0.1", "datasets<5"),
    "transformers5": (),
}
"""Packages of each environment; without any it is the project's own."""
TEXTS = (
    "Aspirin prevents stroke.",
    "The effect of prestressing on the strength of reinforced concrete, and what was measured.",
    "neural search",
)
PEER = """
import importlib.metadata, json, sys, numpy
from sentence_transformers import SparseEncoder
from transformers import AutoTokenizer
job, found = json.load(open(sys.argv[1])), {}
for name, case in job["cases"].items():
    ids = AutoTokenizer.from_pretrained(case["folder"])(job["texts"], truncation=True)["input_ids"]
    found |= {f"{name}/ids{i}": numpy.array(one) for i, one in enumerate(ids)}
    if case["weights"]:
        model = SparseEncoder(case["folder"], device="cpu", **case["options"])
        for kind, encode in (("document", model.encode_document), ("query", model.encode_query)):
            found[f"{name}/{kind}"] = encode(job["texts"], convert_to_sparse_tensor=False).cpu().numpy()
for package in ("transformers", "sentence-transformers"):
    found[package] = numpy.array(importlib.metadata.version(package))
numpy.savez(sys.argv[2], **found)
"""


def main() -> None:
    """Export, read and encode in each environment, and write the table; fails beyond the tolerance."""
    rows, worst = [], 0.0
    with tempfile.TemporaryDirectory() as scratch:
        models = dict(_models(Path(scratch)))
        for name, requirements in RELEASES.items():
            for row, difference in _compared(models, _python(name, requirements), Path(scratch), bool(requirements)):
                rows.append(row)
                worst = max(worst, difference)
    lines = [f"| {' | '.join(row)} |\n" for row in rows]
    print("".join(lines))
    head = "| export | read by | largest difference of a weight |\n|---|---|---|\n"
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), "exports", [head, *lines]), encoding="utf-8")
    if worst > TOLERANCE:
        raise SystemExit(f"a difference is above {TOLERANCE:g}")


def _models(scratch: Path) -> Iterator[tuple[str, Model]]:
    yield "cherche-tiny", _load(hub.PRETRAINED / "cherche-tiny")
    yield "a masked LM with a tokenizer of no named class", _load(checkpoints.masked_lm(scratch / "masked", seed=3))


def _load(folder: Path) -> Model:
    return hub.load(folder, device="cpu", dtype="fp32")


def _python(name: str, requirements: tuple[str, ...]) -> Path:
    if not requirements:
        return Path(sys.executable)
    folder = ROOT.with_name(f"{ROOT.name}-{name}")
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        if not python.exists():
            venv.create(folder, with_pip=True)
        behind = next(folder.glob("lib/python3*/site-packages")) / "project.pth"
        behind.write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
        subprocess.run([python, "-m", "pip", "install", "--quiet", *requirements], check=True)
        (folder / "complete").touch()
    return python


def _compared(
    models: dict[str, Model], python: Path, scratch: Path, has_optimum: bool
) -> Iterator[tuple[list[str], float]]:
    """A row of the table for each export of each model, and its largest difference."""
    cases = {}
    for place, (name, model) in enumerate(models.items()):
        for form in ("sentence-transformers", "cherche", "onnx"):
            folder = scratch / f"{place}-{form}"
            if not folder.exists():
                hub.export(model, folder, form)
            # sentence-transformers runs graphs by optimum, which has no release for transformers 5.24.
            options = {"backend": "onnx"} if form == "onnx" else {}
            weights = form != "onnx" or has_optimum
            cases[f"{name}, {form}"] = {"folder": str(folder), "options": options, "weights": weights}
    job, answers = scratch / "job.json", scratch / "answers.npz"
    job.write_text(json.dumps({"cases": cases, "texts": TEXTS}), encoding="utf-8")
    environment = {**os.environ, **QUIET, "PYTHONPATH": ""}
    done = subprocess.run(
        [python, "-c", PEER, job, answers], env=environment, capture_output=True, text=True, check=False, timeout=1800
    )
    if done.returncode:
        raise RuntimeError(f"{python} failed:\n{done.stdout}{done.stderr}")
    found = np.load(answers)
    readers = f"transformers {found['transformers']}, sentence-transformers {found['sentence-transformers']}"
    for name, case in cases.items():
        model = models[name.rpartition(", ")[0]]
        _check_ids(model, name, found)
        difference = _difference(model, name, found) if case["weights"] else 0.0
        yield [name, readers, f"{difference:.0e}" if case["weights"] else "its tokenizer alone"], difference


def _check_ids(model: Model, name: str, found: dict[str, np.ndarray]) -> None:
    for i, tokens in enumerate(model.tokenize(TEXTS, "document")):
        if list(tokens.ids) != found[f"{name}/ids{i}"].tolist():
            raise SystemExit(f"{name}: the tokenizer gives {found[f'{name}/ids{i}']}, ours {tokens.ids}")


def _difference(model: Model, name: str, found: dict[str, np.ndarray]) -> float:
    worst = 0.0
    for kind in ("document", "query"):
        theirs = found[f"{name}/{kind}"]
        ours = np.zeros_like(theirs)
        for row, encoding in zip(ours, model.encode(list(TEXTS), kind), strict=True):
            assert encoding.weights is not None
            row[encoding.weights.ids] = encoding.weights.weights
        worst = max(worst, float(np.abs(ours - theirs).max()))
    return worst


if __name__ == "__main__":
    main()
