"""Compile the kernel for ARM and run its tests on an emulated processor: ``python -m tests.arm`` (`make arm`).

For machines that are not ARM. Needs what Debian's packages ``gcc-aarch64-linux-gnu``, ``qemu-user-static`` and
``debootstrap`` have, and root, which the last one wants; Python for ARM comes from Debian's own archive, what it
imports from the Python index, both into the user's cache folder. Emulation shows that results are right, never how
fast they are.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from cherche_models.kernel import build
from sidecar.cluster.places import cache_folder

RELEASE, PYTHON = "bookworm", "3.11"
COMPILER, EMULATOR, DEBOOTSTRAP = "aarch64-linux-gnu-gcc", "qemu-aarch64-static", "debootstrap"
PACKAGES = {COMPILER: "gcc-aarch64-linux-gnu", EMULATOR: "qemu-user-static", DEBOOTSTRAP: "debootstrap"}
WHEELS = ("numpy", "scipy", "hypothesis", "pytest", "pytest-asyncio", "pytest-timeout")
UNIT = "tests/unit/cherche_models/kernel"
TESTS = (f"{UNIT}/test_library.py", f"{UNIT}/test_encoder.py", "tests/property/test_kernel.py")
STARTS_A_PROCESS = f"{UNIT}/test_library.py::test_nothing_behind_the_codes_is_read"
"""The emulator runs one process, which starts no other."""
PROCESSORS = ("-march=armv8-a", "-march=armv8.2-a+dotprod")
"""What the compiler may use: NEON, as on any; and products of bytes, as on processors since 2018."""


def main() -> None:
    """Ends with the first failure."""
    if lacking := [package for program, package in PACKAGES.items() if not shutil.which(program)]:
        raise SystemExit(f"make arm needs what is not installed: apt-get install {' '.join(lacking)}")
    folder = cache_folder(os.environ, root=os.geteuid() == 0, home=Path.home()) / "arm64"
    system, packages = folder / "system", folder / "packages"
    if not (system / "complete").is_file():
        unpack(system)
    if not packages.is_dir():
        install(packages)
    for processor in PROCESSORS:
        with tempfile.TemporaryDirectory() as scratch:
            library = build.build(Path(scratch), {**os.environ, "CC": f"{COMPILER} {processor}"})
            print(f"{COMPILER} {processor}", flush=True)
            test(system, packages, library)


def unpack(system: Path) -> None:
    """Debian's smallest system for ARM with Python; no program of it is run to install it."""
    shutil.rmtree(system, ignore_errors=True)
    system.mkdir(parents=True)
    options = ("--arch=arm64", "--foreign", "--variant=minbase", "--include=python3")
    subprocess.run([DEBOOTSTRAP, *options, RELEASE, system], check=True)
    for archive in sorted((system / "var/cache/apt/archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "--extract", archive, system], check=True)
    (system / "complete").touch()


def install(packages: Path) -> None:
    """Wheels for that Python."""
    platforms = [f"--platform=manylinux{age}_aarch64" for age in ("2014", "_2_17", "_2_27", "_2_28")]
    wanted = ["--only-binary=:all:", f"--python-version={PYTHON}", *platforms, *WHEELS]
    part = packages.with_suffix(".part")
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", f"--target={part}", *wanted], check=True)
    part.rename(packages)


def test(system: Path, packages: Path, library: Path) -> None:
    """The tests of what is compiled for ARM from lines of its own."""
    environment = {
        **os.environ,
        "QEMU_LD_PREFIX": str(system),
        "PYTHONHOME": str(system / "usr"),
        "PYTHONPATH": f"{Path.cwd()}:{packages}",
        "CHERCHE_TEST_KERNEL": str(library),
        "CHERCHE_REQUIRE": "compiler",
    }
    python = [EMULATOR, str(system / f"usr/bin/python{PYTHON}")]
    pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--deselect", STARTS_A_PROCESS]
    done = subprocess.run([*python, *pytest, *TESTS], env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"on ARM the kernel's tests ended with {done.returncode}")


if __name__ == "__main__":
    main()
