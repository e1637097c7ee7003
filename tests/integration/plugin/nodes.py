"""Nodes with their own settings, files and secrets, and nodes of other versions than the usual one."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sidecar.cluster import node as nodes_
from sidecar.cluster.assemble import assemble, with_plugins
from sidecar.cluster.parts import OPENSEARCH, Server
from sidecar.cluster.places import User, cache_folder, java_home, server_user

START_TIMEOUT = 180
LOG4J = {"3.4.0": "2.21.0"}
NOT_SERVED = {"3.4.0": {"search-pipeline-common"}}
KEYSTORE = """
import java.nio.file.Path;
import org.opensearch.common.settings.KeyStoreWrapper;

class Keystore {
    public static void main(String[] arguments) throws Exception {
        try (KeyStoreWrapper keystore = KeyStoreWrapper.create()) {
            for (int i = 1; i < arguments.length; i += 2) {
                keystore.setString(arguments[i], arguments[i + 1].toCharArray());
            }
            keystore.save(Path.of(arguments[0]), new char[0]);
        }
    }
}
"""


def opensearch(version: str) -> Server:
    """OpenSearch in another version."""

    def named(text: str) -> str:
        return text.replace(OPENSEARCH.version, version).replace("log4j-core:2.25.4", f"log4j-core:{LOG4J[version]}")

    return replace(
        OPENSEARCH,
        version=version,
        folders={folder: tuple(map(named, each)) for folder, each in OPENSEARCH.folders.items()},
        modules=tuple(
            replace(module, coordinates=named(module.coordinates))
            for module in OPENSEARCH.modules
            if module.name not in NOT_SERVED[version]
        ),
        flags=tuple(map(named, OPENSEARCH.flags)),
    )


@dataclass(frozen=True, slots=True)
class RunningNode:
    """One node; `keep` changes the content of its keystore."""

    url: str
    keep: Callable[[Mapping[str, str]], None]


@contextmanager
def running_node(
    plugins: Sequence[Path],
    is_up: Callable[[str], bool],
    *,
    server: Server = OPENSEARCH,
    settings: Sequence[str] = (),
    files: Mapping[str, bytes] | None = None,
    secrets: Mapping[str, str] | None = None,
    heap: str = "512m",
) -> Iterator[RunningNode]:
    """One node.

    Parameters
    ----------
    is_up : function of the URL
        Whether the node can be used; polled until it can.
    settings : lines of the server's YAML file
    files : path below the config folder to its content
    secrets : content of the keystore
    """
    java, user = java_home(os.environ, server), server_user()
    home = assemble(cache_folder(os.environ, root=os.geteuid() == 0, home=Path.home()), os.environ, server)
    with tempfile.TemporaryDirectory(prefix="cherche-node-", ignore_cleanup_errors=True) as scratch:
        os.chmod(scratch, 0o755)
        folder = Path(scratch)
        home = with_plugins(home, plugins, folder / "home")
        http, transport = nodes_.free_ports(2)
        spec = nodes_.NodeSpec(1, folder / "node-1", http, transport, server)
        nodes_.prepare(spec, [spec], user)
        configure(spec.folder / "config", server, settings, files or {}, user)
        node = RunningNode(spec.url, lambda held: add_secrets(spec.folder / "config", java, home, held, user))
        if secrets:
            node.keep(secrets)
        pid = nodes_.start(spec, java=java, home=home, heap=heap, user=user)
        try:
            wait(spec, pid, is_up)
            yield node
        finally:
            nodes_.stop({pid: spec.folder})


def configure(
    config: Path, server: Server, settings: Sequence[str], files: Mapping[str, bytes], user: User | None
) -> None:
    with (config / f"{server.name}.yml").open("a", encoding="utf-8") as text:
        text.writelines(f"{line}\n" for line in settings)
    for name, content in files.items():
        path = config / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        own(path, user)
        path.chmod(0o600)
        own(path.parent, user)


def add_secrets(config: Path, java: Path, home: Path, secrets: Mapping[str, str], user: User | None) -> None:
    """Like ``opensearch-keystore add``, a tool that is in no repository."""
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "Keystore.java"
        source.write_text(KEYSTORE, encoding="utf-8")
        pairs = [part for pair in secrets.items() for part in pair]
        command = [str(java / "bin" / "java"), "-cp", str(home / "lib" / "*"), str(source), str(config), *pairs]
        subprocess.run(command, check=True, capture_output=True)
    own(config / "opensearch.keystore", user)


def own(path: Path, user: User | None) -> None:
    if user is not None:
        os.chown(path, user.uid, user.gid)


def wait(spec: nodes_.NodeSpec, pid: int, is_up: Callable[[str], bool]) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while not is_up(spec.url):
        assert nodes_.is_running(pid, spec.folder), nodes_.log_tail(spec)
        assert time.monotonic() < deadline, nodes_.log_tail(spec)
        time.sleep(0.1)
