"""The wheel of ``make dist`` in an environment of its own: ``make prove SECTION=dist``.

Installs it with all that it requires, as ``pip install cherche-sidecar`` does, and runs the demo from it. pip's own
settings hold: with PyTorch's CPU wheels (``PIP_EXTRA_INDEX_URL``) the environment is a tenth as large.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

from tests import release

INSTALL, DEMO = 3600, 1800
"""Seconds that each may take."""


def measure() -> dict[str, Any]:
    """Install, run, and remove it again; a failure stops the run."""
    package = release.wheel()
    with tempfile.TemporaryDirectory() as scratch:
        folder, home = Path(scratch) / "environment", Path(scratch) / "home"
        home.mkdir()
        venv.create(folder, with_pip=True)
        hidden = ("CHERCHE_", "PYTHONPATH")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
        started = time.monotonic()
        install = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", package]
        subprocess.run(install, check=True, env=environment, timeout=INSTALL)
        installed = time.monotonic()
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
        demo = subprocess.run(
            [folder / "bin" / "cherche", "demo", "--json"],
            check=True,
            cwd=home,
            env={**environment, "HOME": str(home), "HF_HUB_OFFLINE": "1"},
            stdout=subprocess.PIPE,
            timeout=DEMO,
        )
        report = json.loads(demo.stdout)
        return {
            "wheel": package.name,
            "wheel bytes": package.stat().st_size,
            "environment bytes": size,
            "install seconds": round(installed - started, 1),
            "demo seconds": report["seconds"],
            "documents": report["documents"],
            "targets in the top 3": checked(report["in_top_3"]["searches"]),
        }


def checked(found: dict[str, int]) -> dict[str, int]:
    """Searches of the demo whose target is among the first three, by mode.

    Raises
    ------
    SystemExit
        Where reranking finds no more of them than BM25 alone: then the models do not work as installed.
    """
    if found["hybrid+rerank"] <= found["bm25"]:
        raise SystemExit(f"the demo from the wheel finds {found}")
    return found
