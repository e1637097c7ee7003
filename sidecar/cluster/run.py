"""Clusters that run until `down`, or for the duration of a ``with`` block."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from sidecar.cluster import node as nodes_
from sidecar.cluster.assemble import assemble, with_plugins
from sidecar.cluster.node import NodeSpec
from sidecar.cluster.parts import ELASTICSEARCH, OPENSEARCH, Server
from sidecar.cluster.places import cache_folder, check_readable, java_home, server_user
from sidecar.errors import invalid, unavailable

SIZES = (1, 3)
START_TIMEOUT = 180.0


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster: URLs of its nodes, and its processes; `pids` is empty if it was started elsewhere."""

    urls: tuple[str, ...]
    pids: Mapping[int, Path]


@dataclass(slots=True)
class Nodes:
    """Nodes of a running cluster, which can be killed and restarted one by one.

    Attributes
    ----------
    specs : tuple of NodeSpec
    pids : dict
        Process id → folder of the running nodes.
    """

    specs: tuple[NodeSpec, ...]
    launch: Callable[[NodeSpec], int]
    pids: dict[int, Path]

    @property
    def urls(self) -> tuple[str, ...]:
        """URL of every node."""
        return tuple(spec.url for spec in self.specs)

    @property
    def snapshots(self) -> Path:
        """Folder for snapshots of all nodes."""
        return self.specs[0].snapshots

    def url(self, name: str) -> str:
        """URL of one node."""
        return self._named(name).url

    def kill(self, name: str) -> None:
        """Kill a node without shutdown, as a power cut does, and wait until it is gone."""
        folder = self._named(name).folder
        for pid in [pid for pid, own in self.pids.items() if own == folder]:
            nodes_.stop({pid: folder}, first=signal.SIGKILL)
            del self.pids[pid]

    def start(self, name: str) -> None:
        """Restart a killed node on its data, and wait until it has joined the cluster."""
        spec = self._named(name)
        self.pids[self.launch(spec)] = spec.folder
        _wait([spec], self.pids, nodes=len(self.specs))

    def _named(self, name: str) -> NodeSpec:
        return next(spec for spec in self.specs if spec.name == name)


def up(
    nodes: int = 1,
    heap: str = "1g",
    environment: Mapping[str, str] = os.environ,
    server: Server = OPENSEARCH,
) -> Cluster:
    """Start a cluster that runs until `down`, or return the running one of this product.

    Its data stay under the cache folder; the next `up` with the same number of nodes uses them again.
    ``OPENSEARCH_URL`` and ``ELASTICSEARCH_URL`` name clusters to use instead.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION naming what is missing on this machine, UNAVAILABLE with the end of a node's log if
        the cluster does not start.
    """
    if url := environment.get(server.variable):
        return Cluster((url,), {})
    cache = _cache(environment)
    if running := _read_state(cache, server):
        return running
    folder = cache / "dev" / f"{server.name}-{_checked(nodes)}"
    started = _start(folder, nodes, heap, environment, server=server)
    cluster = Cluster(started.urls, started.pids)
    _write_state(cache, cluster, server)
    return cluster


def down(environment: Mapping[str, str] = os.environ, *, purge: bool = False) -> int:
    """Stop the nodes that `up` started; returns how many were running. `purge` deletes their data."""
    cache = _cache(environment)
    ended = 0
    for server in (OPENSEARCH, ELASTICSEARCH):
        cluster = _read_state(cache, server)
        ended += nodes_.stop(cluster.pids) if cluster else 0
        _state_file(cache, server).unlink(missing_ok=True)
    if purge and (cache / "dev").is_dir():
        shutil.rmtree(cache / "dev")
    return ended


@contextmanager
def running_cluster(
    nodes: int = 1,
    heap: str = "512m",
    plugins: Sequence[Path] = (),
    environment: Mapping[str, str] = os.environ,
    server: Server = OPENSEARCH,
) -> Iterator[tuple[str, ...]]:
    """URLs of a new cluster on free loopback ports; the block's end deletes it and its data.

    Parameters
    ----------
    nodes : {1, 3}
    heap : str
        Heap of each node as Java writes it.
    plugins : sequence of Path
        Plugin zips to install.
    server : Server
        Product and version.
    """
    with running_nodes(nodes, heap, plugins, environment, server) as running:
        yield running.urls


@contextmanager
def running_nodes(
    nodes: int = 3,
    heap: str = "512m",
    plugins: Sequence[Path] = (),
    environment: Mapping[str, str] = os.environ,
    server: Server = OPENSEARCH,
) -> Iterator[Nodes]:
    """As `running_cluster`, with control over each node."""
    _cache(environment)
    with tempfile.TemporaryDirectory(prefix="cherche-cluster-", ignore_cleanup_errors=True) as scratch:
        os.chmod(scratch, 0o755)
        running = _start(Path(scratch), _checked(nodes), heap, environment, plugins, server)
        try:
            yield running
        finally:  # their data are deleted: they need no orderly shutdown
            nodes_.stop(running.pids, first=signal.SIGKILL)


def _start(
    folder: Path,
    nodes: int,
    heap: str,
    environment: Mapping[str, str],
    plugins: Sequence[Path] = (),
    server: Server = OPENSEARCH,
) -> Nodes:
    java, user, cache = java_home(environment, server), server_user(), _cache(environment)
    home = assemble(cache, environment, server)
    check_readable(home, user)
    if plugins:
        home = with_plugins(home, plugins, folder / "home")
    ports = nodes_.free_ports(2 * nodes)
    specs = [
        NodeSpec(number + 1, folder / f"node-{number + 1}", ports[2 * number], ports[2 * number + 1], server)
        for number in range(nodes)
    ]

    def launch(spec: NodeSpec) -> int:
        return nodes_.start(spec, java=java, home=home, heap=heap, user=user)

    pids: dict[int, Path] = {}
    try:
        for spec in specs:
            nodes_.prepare(spec, specs, user)
            pids[launch(spec)] = spec.folder
        _wait(specs, pids, nodes=nodes)
        if server.template is not None:
            _put(f"{specs[0].url}/_index_template/cherche-dev", server.template)
    except BaseException:
        nodes_.stop(pids)
        raise
    return Nodes(tuple(specs), launch, pids)


def _wait(specs: Sequence[NodeSpec], pids: Mapping[int, Path], *, nodes: int) -> None:
    """Poll until every node of `specs` is in a healthy cluster of `nodes` nodes."""
    deadline = time.monotonic() + START_TIMEOUT
    while not all(_healthy(spec, nodes) for spec in specs):
        running = {folder for pid, folder in pids.items() if nodes_.is_running(pid, folder)}
        dead = [spec for spec in specs if spec.folder not in running]
        if dead or time.monotonic() > deadline:
            spec = dead[0] if dead else specs[0]
            what = "ended" if dead else f"was not healthy within {START_TIMEOUT:g} s"
            raise unavailable(
                f"{spec.server.title} {spec.name} {what}; the end of its log:\n{nodes_.log_tail(spec)}",
                "fix the error in the log",
            )
        time.sleep(0.1)


def _put(url: str, body: Mapping[str, Any]) -> None:
    request = Request(url, json.dumps(body).encode(), {"content-type": "application/json"}, method="PUT")
    with urlopen(request, timeout=30):
        return


def _healthy(spec: NodeSpec, nodes: int) -> bool:
    path = f"/_cluster/health?wait_for_nodes={nodes}&wait_for_status=yellow&timeout=1s"
    try:
        with urlopen(spec.url + path, timeout=5) as response:
            return not json.load(response)["timed_out"]
    except HTTPError as error:
        error.close()
        return False
    except (URLError, OSError):
        return False


def _cache(environment: Mapping[str, str]) -> Path:
    return cache_folder(environment, root=os.geteuid() == 0, home=Path.home())


def _checked(nodes: int) -> int:
    if nodes not in SIZES:
        raise invalid(f"a development cluster has 1 or 3 nodes, not {nodes}", "use --nodes 1 or --nodes 3")
    return nodes


def _state_file(cache: Path, server: Server) -> Path:
    return cache / "dev" / f"{server.name}.json"


def _write_state(cache: Path, cluster: Cluster, server: Server) -> None:
    state = {"urls": cluster.urls, "pids": {str(pid): str(folder) for pid, folder in cluster.pids.items()}}
    _state_file(cache, server).write_text(json.dumps(state), encoding="utf-8")


def _read_state(cache: Path, server: Server) -> Cluster | None:
    """The cluster that `up` started, if at least one of its nodes is still running."""
    try:
        state = json.loads(_state_file(cache, server).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    pids = {int(pid): Path(folder) for pid, folder in state["pids"].items()}
    if not any(nodes_.is_running(pid, folder) for pid, folder in pids.items()):
        return None
    return Cluster(tuple(state["urls"]), pids)
