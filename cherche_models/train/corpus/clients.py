"""Packages by the registries' own clients, each downloaded once into a cache folder.

The command lines are run, with access to the network, by `Fetcher.fetch` alone.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cherche_models.train.corpus.archive import Archive
from cherche_models.train.corpus.base import Package

Run = Callable[[Sequence[str], Path, Mapping[str, str]], str]
"""Takes a command line, the folder to run it in and variables to set; returns its output."""
_TIMEOUT = 900
_MAVEN_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"
_VERSION = re.compile(r"^(?:Version|Codename): (.+)$", re.MULTILINE)


class FetchError(RuntimeError):
    """A package cannot be fetched.

    Attributes
    ----------
    package : Package
    reason : str
    """

    def __init__(self, package: Package, reason: str) -> None:
        super().__init__(f"{package.client} package {package.name}: {reason}")
        self.package = package
        self.reason = reason


def run(command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> str:
    """Run a command and return its output.

    Raises
    ------
    OSError
        If there is no such command.
    subprocess.SubprocessError
        If it fails or does not end in 15 minutes.
    """
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=True,
    )
    return done.stdout


class Fetcher:
    """Fetches packages into a folder.

    Parameters
    ----------
    cache : Path
        Created; a package that is there is not fetched again.
    run : callable
        Runs a client.
    folders : mapping of name → Path
        Where packages of the client "folder" are.
    """

    def __init__(self, cache: Path, run: Run = run, folders: Mapping[str, Path] | None = None) -> None:
        self._cache, self._run, self._folders = cache.absolute(), run, folders or {}

    def fetch(self, package: Package) -> Archive:
        """The archive of a package.

        Raises
        ------
        FetchError
            If its client is missing, fails or leaves no archive.
        """
        folder = self._cache / package.client
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return CLIENTS[package.client](self, package, folder)
        except subprocess.CalledProcessError as error:
            lines = (error.stderr or "").strip().splitlines() or [f"exit status {error.returncode}"]
            raise FetchError(package, f"{error.cmd[0]} failed: {lines[-1]}") from error
        except (OSError, subprocess.SubprocessError) as error:
            raise FetchError(package, str(error)) from error

    def _apt_options(self) -> list[str]:
        """Lists of our own, so that neither root nor the machine's language matters."""
        lists, cache = self._cache / "apt-index", self._cache / "apt-cache"
        for folder in (lists, cache):
            (folder / "partial").mkdir(parents=True, exist_ok=True)
        settings = {
            "Dir::State::lists": str(lists),
            "Dir::Cache": str(cache),
            "Acquire::Languages": "en",
            "Acquire::GzipIndexes": "false",
            "APT::Sandbox::User": "root",
        }
        return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]

    def _apt_index(self, package: Package, folder: Path) -> Archive:
        """The lists called `package.name` of all configured suites, as one file."""
        whole = folder.parent / package.name
        if not whole.exists():
            self._run(["apt-get", *self._apt_options(), "update"], folder, {})
            parts = sorted(folder.glob(f"*_{package.name}"))
            if not parts:
                raise FetchError(package, "the configured suites have no such list")
            scratch = whole.with_suffix(".partial")
            scratch.write_bytes(b"\n".join(part.read_bytes() for part in parts))
            scratch.replace(whole)
        releases = [" ".join(_VERSION.findall(path.read_text("utf-8"))) for path in sorted(folder.glob("*InRelease"))]
        return Archive(whole, ", ".join(sorted(set(releases))))

    def _apt(self, package: Package, folder: Path) -> Archive:
        if not list(folder.glob(f"{package.name}_*.deb")):
            self._apt_index(Package("apt-index", "Translation-en"), self._cache / "apt-index")
            self._run(["apt-get", *self._apt_options(), "download", package.name], folder, {})
        path = _one(package, folder, f"{package.name}_*.deb")
        return Archive(path, path.name.split("_")[1].replace("%3a", ":"))

    def _pip(self, package: Package, folder: Path) -> Archive:
        pattern = f"{package.name.replace('-', '[-_]')}-{package.version}[-.]*"
        if not list(folder.glob(pattern)):
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
            self._run([*command, f"{package.name}=={package.version}"], folder, {})
        return Archive(_one(package, folder, pattern), package.version)

    def _npm(self, package: Package, folder: Path) -> Archive:
        name = package.name.removeprefix("@").replace("/", "-")
        pattern = f"{name}-{package.version}.tgz"
        if not (folder / pattern).exists():
            command = ["npm", "pack", "--silent", "--pack-destination", str(folder)]
            self._run([*command, f"{package.name}@{package.version}"], folder, {})
        return Archive(_one(package, folder, pattern), package.version)

    def _go(self, package: Package, folder: Path) -> Archive:
        command = ["go", "mod", "download", "-json", f"{package.name}@{package.version}"]
        found = json.loads(self._run(command, folder, {"GOMODCACHE": str(folder), "GOFLAGS": "-modcacherw"}))
        return Archive(Path(found["Zip"]), package.version)

    def _mvn(self, package: Package, folder: Path) -> Archive:
        """The sources of an artifact named ``group:artifact``."""
        pattern = f"{package.name.partition(':')[2]}-{package.version}-sources.jar"
        if not (folder / pattern).exists():
            artifact = f"-Dartifact={package.name}:{package.version}:jar:sources"
            command = ["mvn", "--quiet", "--batch-mode", _MAVEN_COPY, artifact, f"-DoutputDirectory={folder}"]
            self._run(command, folder, {})
        return Archive(_one(package, folder, pattern), package.version)

    def _folder(self, package: Package, _: Path) -> Archive:
        if package.name not in self._folders:
            raise FetchError(package, f"no folder is given — give --{package.name} FOLDER, or --without {package.name}")
        if not self._folders[package.name].is_dir():
            raise FetchError(package, f"{self._folders[package.name].name} is no folder")
        return Archive(self._folders[package.name])


CLIENTS: dict[str, Callable[[Fetcher, Package, Path], Archive]] = {
    "apt": Fetcher._apt,
    "apt-index": Fetcher._apt_index,
    "folder": Fetcher._folder,
    "go": Fetcher._go,
    "mvn": Fetcher._mvn,
    "npm": Fetcher._npm,
    "pip": Fetcher._pip,
}


def _one(package: Package, folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if not found:
        raise FetchError(package, f"{package.client} left no file that matches {pattern}")
    return found[-1]
