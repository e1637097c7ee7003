"""Locations on this machine: the cache, Java, Maven, and the user that runs the server."""

from __future__ import annotations

import os
import pwd
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sidecar.cluster.parts import OPENSEARCH, Server
from sidecar.errors import precondition

_JVM_FOLDERS = (
    "/usr/lib/jvm/*",
    "/Library/Java/JavaVirtualMachines/*/Contents/Home",
    "/opt/homebrew/opt/openjdk*/libexec/openjdk.jdk/Contents/Home",
)


@dataclass(frozen=True, slots=True)
class User:
    """An unprivileged user that owns the nodes' data; the server refuses root."""

    name: str
    uid: int
    gid: int


def cache_folder(environment: Mapping[str, str], *, root: bool, home: Path) -> Path:
    """Folder for downloads.

    ``$XDG_CACHE_HOME/cherche`` if that is set, else ``/var/cache/cherche`` for root (the user that then runs the
    server cannot enter root's home), else ``~/.cache/cherche``.

    >>> str(cache_folder({}, root=False, home=Path("/home/ada")))
    '/home/ada/.cache/cherche'
    """
    chosen = environment.get("XDG_CACHE_HOME")
    if chosen:
        return Path(chosen) / "cherche"
    return Path("/var/cache/cherche") if root else home / ".cache" / "cherche"


def server_user() -> User | None:
    """The user that runs a node: ``nobody`` if this process runs as root, else None for the same user.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION if this process runs as root and there is no user ``nobody``.
    """
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError as error:
        raise precondition(
            "the server refuses to run as root and there is no user nobody",
            "run the command as another user",
        ) from error
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid)


def check_readable(folder: Path, user: User | None) -> None:
    """Check that the server's user can enter a folder.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION naming the folder that it cannot enter.
    """
    if user is None:
        return
    for part in (folder, *folder.parents):
        if part.exists() and not part.stat().st_mode & 0o001:
            raise precondition(
                f"{part} is closed to the user {user.name}, which runs the server",
                "set XDG_CACHE_HOME to a folder that all users can enter",
            )


def java_home(environment: Mapping[str, str], server: Server = OPENSEARCH) -> Path:
    """Home of a JDK that runs the server: JAVA_HOME first, else the newest in the usual folders.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION listing the JDKs that were found.
    """
    oldest, newest = server.java
    named = environment.get("JAVA_HOME")
    if named and _fits(java_version(Path(named)), server):
        return Path(named)
    versions = {home: java_version(home) for home in _java_homes()}
    fitting = {home: version for home, version in versions.items() if _fits(version, server)}
    if fitting:
        return max(fitting, key=fitting.__getitem__)
    found = ", ".join(f"{home} ({version})" for home, version in versions.items() if version) or "none"
    needed = f"{oldest} to {newest}" if newest else f"{oldest} or later"
    raise precondition(
        f"{server.title} {server.version} needs Java {needed}; found: {found}",
        f"install a JDK {oldest}{'' if newest else '+'} or set JAVA_HOME to one",
    )


def java_version(home: Path) -> int:
    """Feature version of a JDK from its ``release`` file; 0 if there is no JDK."""
    release = home / "release"
    if not (home / "bin" / "java").exists() or not release.is_file():
        return 0
    found = re.search(r'JAVA_VERSION="(\d+)', release.read_text(encoding="utf-8"))
    return int(found.group(1)) if found else 0


def maven(server: Server = OPENSEARCH) -> str:
    """Path of ``mvn``.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION if it is not installed.
    """
    found = shutil.which("mvn")
    if found is None:
        raise precondition(
            "Maven (mvn) is not on the PATH: it fetches the server from Maven Central",
            f"install Maven, or set {server.variable} to the URL of a running cluster",
        )
    return found


def _fits(version: int, server: Server) -> bool:
    oldest, newest = server.java
    return version >= oldest and (not newest or version <= newest)


def _java_homes() -> Iterator[Path]:
    for pattern in _JVM_FOLDERS:
        yield from sorted(Path("/").glob(pattern.removeprefix("/")))
    on_path = shutil.which("java")
    if on_path:
        yield Path(on_path).resolve().parent.parent
