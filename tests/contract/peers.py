"""The second environment: libraries that need older releases than ours, kept in the user's cache folder."""

from __future__ import annotations

import os
import subprocess
import venv
from pathlib import Path

ROOT = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cherche" / "interop"
PYTHON = ROOT / "bin" / "python"
REQUIREMENTS = {"pylate": "pylate>=1.3", "neural_cherche": "neural-cherche==1.4.3"}
QUIET = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}


def has(module: str) -> bool:
    """Whether the environment is there, with that library; nothing is imported."""
    return PYTHON.exists() and any(ROOT.glob(f"lib/python3*/site-packages/{module}"))


def make() -> None:
    """Install what is missing."""
    if not PYTHON.exists():
        venv.create(ROOT, with_pip=True)
    missing = [requirement for module, requirement in REQUIREMENTS.items() if not has(module)]
    if missing:
        subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", *missing], check=True)


def run(*arguments: str | Path) -> None:
    """Run its Python; what it says goes into the error if it fails."""
    done = subprocess.run(
        [PYTHON, *arguments], capture_output=True, text=True, check=False, timeout=600, env={**os.environ, **QUIET}
    )
    if done.returncode:
        raise RuntimeError(f"the other environment failed:\n{done.stdout}{done.stderr}")
