"""Compiles the C sources beside it into the library that `cherche_models.kernel.library` loads.

A source checkout compiles it in place with ``python -m cherche_models.kernel.build``; wheels through `hook`.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).parent
SOURCES = {"maxsim.c": "off", "encoder.c": "fast"}
"""And whether a product and a sum may become one operation: MaxSim's are as they are written, on every platform."""
HEADERS = ("forward.h",)
LIBRARY = "kernel.so"
COMPILERS = ("cc", "gcc", "clang")
FLAGS = (*("-std=c11", "-O3", "-fPIC", "-fvisibility=hidden", "-fno-math-errno"),)


class BuildError(Exception):
    """Why there is no library, in one sentence; the package works without."""


def digest() -> str:
    """What tells a library whether it was compiled from the sources as they are now."""
    return hashlib.sha256(b"".join((FOLDER / name).read_bytes() for name in (*SOURCES, *HEADERS))).hexdigest()[:16]


def compiler(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The C compiler and its own options, from CC or the search path.

    Raises
    ------
    BuildError
        If there is none.
    """
    name, *options = shlex.split(environment.get("CC", "")) or [""]
    names = [name] if name else COMPILERS
    for name in names:
        if found := shutil.which(name, path=environment.get("PATH")):
            return [found, *options]
    raise BuildError(f"no C compiler: none of {', '.join(names)} is on the search path")


def build(folder: Path = FOLDER, environment: Mapping[str, str] = os.environ) -> Path:
    """Compile the library into a folder.

    Returns
    -------
    Path of the library. It replaces an older one at once, for a process may be reading that.

    Raises
    ------
    BuildError
        If there is no compiler, it fails, or the folder cannot be written.
    """
    command, library = compiler(environment), folder / LIBRARY
    try:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            made = Path(place) / LIBRARY
            parts = []
            for name, contract in SOURCES.items():
                options = [*FLAGS, f"-ffp-contract={contract}", f'-DCHERCHE_SOURCE="{digest()}"', "-c"]
                parts.append(_run(command, [*options, str(FOLDER / name)], Path(place) / f"{name}.o"))
            _run(command, ["-shared", *map(str, parts), "-lm"], made).replace(library)
    except OSError as error:
        raise BuildError(f"{library} cannot be written: {error}") from error
    return library


def _run(command: list[str], options: list[str], made: Path) -> Path:
    """One call of the compiler, and what it made."""
    done = subprocess.run([*command, *options, "-o", str(made)], capture_output=True, text=True, check=False)
    if done.returncode or not made.is_file():
        reason = done.stderr.strip().splitlines()[:1] or ["it wrote nothing"]
        raise BuildError(f"{Path(command[0]).name} failed: {reason[0]}")
    return made


if __name__ == "__main__":
    try:
        print(build())
    except BuildError as error:
        sys.exit(str(error))
