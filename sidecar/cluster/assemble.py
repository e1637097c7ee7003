"""Assemble a server from Maven Central, once, in the cache."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from sidecar.cluster import parts
from sidecar.cluster.parts import OPENSEARCH, Server
from sidecar.cluster.places import java_home, maven
from sidecar.errors import invalid, unavailable

_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_FETCHED = Path("target") / "dependency"


def home_folder(cache: Path, server: Server = OPENSEARCH) -> Path:
    """Folder of the assembled server; its name depends on the parts of the server."""
    return cache / f"{server.name}-{server.version}-{server.digest}"


def assemble(cache: Path, environment: Mapping[str, str], server: Server = OPENSEARCH) -> Path:
    """Home of an assembled server; the first call downloads about 120 MB.

    The folder appears complete or not at all, so that an interrupted call leaves no partial result; concurrent
    calls wait for each other.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION without Maven or a JDK, UNAVAILABLE if Maven cannot download.
    """
    home = home_folder(cache, server)
    if home.is_dir():
        return home
    cache.mkdir(parents=True, exist_ok=True, mode=0o755)
    with _locked(cache / "assemble.lock"), tempfile.TemporaryDirectory(dir=cache) as scratch:
        if not home.is_dir():
            os.chmod(scratch, 0o755)
            fetched = _fetch(Path(scratch), environment, server)
            built = _lay_out(fetched, Path(scratch) / "home", server)
            built.rename(home)
    return home


def with_plugins(home: Path, plugins: Sequence[Path], target: Path) -> Path:
    """Copy of `home` at `target` with plugin zips unpacked; files are hard links where possible.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for a zip that is not a plugin.
    """
    shutil.copytree(home, target, copy_function=_link_or_copy)
    for plugin in plugins:
        _unpack(plugin, target / "plugins")
    return target


def _fetch(scratch: Path, environment: Mapping[str, str], server: Server) -> Path:
    """Resolve every folder of the layout with one run of Maven; returns the folder of the build."""
    build = scratch / "build"
    for folder, coordinates in server.layout().items():
        (build / folder).mkdir(parents=True)
        pom = parts.pom(folder.replace("/", "-"), coordinates)
        (build / folder / "pom.xml").write_text(pom, encoding="utf-8")
    (build / "pom.xml").write_text(parts.pom("all", modules=server.layout()), encoding="utf-8")
    command = [maven(server), "-B", "-q", "-ntp", _GOAL, "-DincludeScope=runtime"]
    ran = subprocess.run(
        command,
        cwd=build,
        env={**environment, "JAVA_HOME": str(java_home(environment, server))},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise unavailable(
            f"Maven could not fetch {server.title} {server.version}: {_first_error(ran.stdout + ran.stderr)}",
            "check the network and the repositories in Maven's settings.xml",
        )
    return build


def _lay_out(build: Path, home: Path, server: Server) -> Path:
    for folder in server.layout():
        shutil.copytree(build / folder / _FETCHED, home / folder)
    shared = {_artifact(jar) for jar in (home / "lib").iterdir()}
    for module in server.modules:
        folder_path = home / "modules" / module.name
        for jar in folder_path.iterdir():
            if _artifact(jar) in shared:
                jar.unlink()
        (folder_path / "plugin-descriptor.properties").write_text(server.descriptor(module), encoding="utf-8")
        if module.policy:
            (folder_path / "plugin-security.policy").write_text(module.grants(), encoding="utf-8")
    for empty in ("bin", "plugins"):  # the server refuses to start without these
        (home / empty).mkdir()
    return home


def _artifact(jar: Path) -> str:
    """Name of a jar without its version, to keep a second version off a module's class path."""
    return re.sub(r"-\d.*", "", jar.name)


def _unpack(plugin: Path, plugins: Path) -> None:
    try:
        with zipfile.ZipFile(plugin) as archive:
            text = archive.read("plugin-descriptor.properties").decode("utf-8")
            name = next(line[5:].strip() for line in text.splitlines() if line.startswith("name="))
            archive.extractall(plugins / name)
    except (OSError, zipfile.BadZipFile, KeyError, StopIteration) as error:
        raise invalid(
            f"{plugin} is not an OpenSearch plugin: {error!r}",
            "give a zip with plugin-descriptor.properties at its root",
        ) from error


def _link_or_copy(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


def _first_error(output: str) -> str:
    lines = [line for line in output.splitlines() if "[ERROR]" in line]
    return (lines or output.splitlines() or ["no output"])[0].strip()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
