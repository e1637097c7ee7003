"""One node: configuration, start and stop."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from sidecar.cluster.parts import OPENSEARCH, Server
from sidecar.cluster.places import User

_PORTS = range(15_000, 32_000)
_EXEC_TIMEOUT = 5.0  # seconds
# As both distributions start Java: the parent circuit breaker counts garbage that was not collected yet.
_COLLECTOR = ("-XX:+UseG1GC", "-XX:G1ReservePercent=25", "-XX:InitiatingHeapOccupancyPercent=30")
_LOG4J = """status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d{ISO8601}][%-5p][%-25c{1.}] %m%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
"""


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A node of a cluster on loopback: its number from 1, its folder, its ports and its server."""

    number: int
    folder: Path
    http_port: int
    transport_port: int
    server: Server = OPENSEARCH

    @property
    def name(self) -> str:
        """Name in the cluster."""
        return f"node-{self.number}"

    @property
    def url(self) -> str:
        """Address for clients."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def snapshots(self) -> Path:
        """Folder that snapshot repositories of type ``fs`` may use, beside the nodes' own."""
        return self.folder.parent / "snapshots"

    @property
    def log(self) -> Path:
        """File with the output of the node."""
        return self.folder / "node.log"


def configuration(node: NodeSpec, cluster: Sequence[NodeSpec]) -> str:
    """Text of the server's YAML file.

    Disk watermarks are off: on a nearly full development machine they would make every
    index read-only.
    """
    lines = [
        "cluster.name: cherche-dev",
        f"node.name: {node.name}",
        "network.host: 127.0.0.1",
        f"http.port: {node.http_port}",
        f"transport.port: {node.transport_port}",
        f"path.data: {node.folder / 'data'}",
        f"path.logs: {node.folder / 'logs'}",
        f"path.repo: {node.snapshots}",
        "cluster.routing.allocation.disk.threshold_enabled: false",
    ]
    if len(cluster) == 1:
        return "\n".join([*lines, "discovery.type: single-node", ""])
    seeds = ", ".join(f'"127.0.0.1:{other.transport_port}"' for other in cluster)
    names = ", ".join(other.name for other in cluster)
    lines += [f"discovery.seed_hosts: [{seeds}]", f"{node.server.managers}: [{names}]"]
    return "\n".join([*lines, ""])


def command(java: Path, home: Path, node: NodeSpec, heap: str) -> list[str]:
    """Command line of a node."""
    server = node.server
    return [
        str(java / "bin" / "java"),
        f"-Xms{heap}",
        f"-Xmx{heap}",
        *_COLLECTOR,
        *(flag.format(home=home) for flag in server.flags),
        f"-Djava.io.tmpdir={node.folder / 'tmp'}",
        "-Dfile.encoding=UTF-8",
        f"-D{server.prefix}.path.home={home}",
        f"-D{server.prefix}.path.conf={node.folder / 'config'}",
        f"-D{server.prefix}.distribution.type=tar",
        f"-D{server.prefix}.bundled_jdk=false",
        f"-D{server.prefix}.networkaddress.cache.ttl=60",
        "-cp",
        str(home / "lib" / "*"),
        server.main,
    ]


def prepare(node: NodeSpec, cluster: Sequence[NodeSpec], user: User | None) -> None:
    """Write a node's folders and files, owned by `user`."""
    config = node.folder / "config"
    for folder in (config, node.folder / "data", node.folder / "logs", node.folder / "tmp", node.snapshots):
        folder.mkdir(parents=True, exist_ok=True)
    (config / f"{node.server.name}.yml").write_text(configuration(node, cluster), encoding="utf-8")
    (config / "log4j2.properties").write_text(_LOG4J, encoding="utf-8")
    (config / "jvm.options").touch()
    node.log.touch()
    if user is not None:
        _change_owner(node.folder, user)
        _change_owner(node.snapshots, user)


def start(node: NodeSpec, *, java: Path, home: Path, heap: str, user: User | None) -> int:
    """Start a prepared node in a session of its own and return its process id.

    A shell starts it and exits, so that it outlives this process. Its output goes to its log.
    """
    with node.log.open("ab") as log:
        shell = subprocess.run(
            ["/bin/sh", "-c", '"$@" >&2 & echo $!', "sh", *command(java, home, node, heap)],
            cwd=node.folder,
            env=_environment(node),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            check=True,
            text=True,
            user=user.uid if user else None,
            group=user.gid if user else None,
            extra_groups=[] if user else None,
        )
    return int(shell.stdout)


def log_tail(node: NodeSpec, lines: int = 20) -> str:
    """The last lines of a node's log without stack frames."""
    written = node.log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join([line for line in written if not line.startswith("\tat ")][-lines:])


def is_running(pid: int, folder: Path) -> bool:
    """Whether `pid` is the node of `folder`, and not another process with a reused id."""
    marker = os.fsencode(f".path.conf={folder / 'config'}")
    if Path("/proc/self/cmdline").exists():
        try:
            return marker in _command_line(Path(f"/proc/{pid}"))
        except (FileNotFoundError, ProcessLookupError):
            return False
    shown = subprocess.run(["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, check=False)
    return marker in shown.stdout


def _command_line(process: Path) -> bytes:
    """Read from a folder of ``/proc``; Linux gives none of a zombie, nor of a process that is replacing its program."""
    deadline = time.monotonic() + _EXEC_TIMEOUT
    while not (found := (process / "cmdline").read_bytes()) and time.monotonic() < deadline:
        if (process / "stat").read_bytes().rpartition(b")")[2].split()[:1] == [b"Z"]:
            break
        time.sleep(0.01)
    return found


def stop(nodes: Mapping[int, Path], timeout: float = 20.0, first: signal.Signals = signal.SIGTERM) -> int:
    """Stop these nodes (process id → folder) with signal `first`, then SIGKILL; returns how many were running."""
    running = [pid for pid, folder in nodes.items() if is_running(pid, folder)]
    for number in (first, signal.SIGKILL):
        for pid in running:
            if is_running(pid, nodes[pid]):
                os.kill(pid, number)
        deadline = time.monotonic() + timeout
        while any(is_running(pid, nodes[pid]) for pid in running) and time.monotonic() < deadline:
            time.sleep(0.05)
    return len(running)


def free_ports(count: int) -> list[int]:
    """Free ports on loopback.

    They are below the range for outgoing connections, one of which could take a port before a node listens on it.
    """
    found: list[int] = []
    with ExitStack() as stack:
        while len(found) < count:
            each = stack.enter_context(socket.socket())
            with suppress(OSError):
                each.bind(("127.0.0.1", random.SystemRandom().choice(_PORTS)))
                found.append(each.getsockname()[1])
    return found


def _environment(node: NodeSpec) -> dict[str, str]:
    """Environment of a node, with the folder for Elasticsearch's temporary files."""
    scratch = str(node.folder / "tmp")
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "ES_TMPDIR": scratch,
        "LIBFFI_TMPDIR": scratch,
    }


def _change_owner(folder: Path, user: User) -> None:
    os.chown(folder, user.uid, user.gid)
    for path in folder.rglob("*"):
        os.chown(path, user.uid, user.gid, follow_symlinks=False)
