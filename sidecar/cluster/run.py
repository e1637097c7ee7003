"""Clusters: one that lasts until `down`, or one that lasts as long as a ``with`` block."""

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
    """A running cluster: where its nodes listen; empty `pids` where it was started by somebody else."""

    urls: tuple[str, ...]
    pids: Mapping[int, Path]


@dataclass(slots=True)
class Nodes:
    """Nodes of a running cluster, each of which can be lost and come back.

    Attributes
    ----------
    specs : tuple of NodeSpec
    pids : dict
        Process id → folder, of those that were started and not killed.
    """

    specs: tuple[NodeSpec, ...]
    launch: Callable[[NodeSpec], int]
    pids: dict[int, Path]

    @property
    def urls(self) -> tuple[str, ...]:
        """Address of every node."""
        return tuple(spec.url for spec in self.specs)

    @property
    def snapshots(self) -> Path:
        """Folder that all nodes may write snapshots to."""
        return self.specs[0].snapshots

    def url(self, name: str) -> str:
        """Address of one node."""
        return self._named(name).url

    def kill(self, name: str) -> None:
        """End a node at once, as a power cut does, and wait until it is gone."""
        folder = self._named(name).folder
        for pid in [pid for pid, own in self.pids.items() if own == folder]:
            nodes_.stop({pid: folder}, first=signal.SIGKILL)
            del self.pids[pid]

    def start(self, name: str) -> None:
        """Start a node that was killed, on what its disk holds, and wait until it answers in the cluster."""
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
    """Start a cluster that lasts until `down`, or return the one of its product that runs already.

    Its data stay under the cache folder and are found again by the next `up` of as many nodes.
    ``OPENSEARCH_URL`` and ``ELASTICSEARCH_URL`` name clusters to use instead.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION naming what this machine lacks, UNAVAILABLE with the end of the
        node's log where the cluster does not come up.
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
    """End the nodes that `up` started, and no others; returns how many ran. `purge` deletes their data."""
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
    """URLs of a fresh cluster on free loopback ports; it and its data are gone after the block.

    Parameters
    ----------
    nodes : {1, 3}
    heap : str
        Heap of each node as Java writes it.
    plugins : sequence of Path
        Plugin zips to install.
    server : Server
        What the nodes run.
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
    """As `running_cluster`, with each node in hand: to lose one, and to let it come back."""
    _cache(environment)
    with tempfile.TemporaryDirectory(prefix="cherche-cluster-", ignore_cleanup_errors=True) as scratch:
        os.chmod(scratch, 0o755)
        running = _start(Path(scratch), _checked(nodes), heap, environment, plugins, server)
        try:
            yield running
        finally:  # nobody needs their data: no reason to be polite
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
    """Poll until every node of `specs` sees a healthy cluster of as many `nodes`."""
    deadline = time.monotonic() + START_TIMEOUT
    while not all(_healthy(spec, nodes) for spec in specs):
        running = {folder for pid, folder in pids.items() if nodes_.runs(pid, folder)}
        dead = [spec for spec in specs if spec.folder not in running]
        if dead or time.monotonic() > deadline:
            spec = dead[0] if dead else specs[0]
            what = "ended" if dead else f"was not healthy within {START_TIMEOUT:g} s"
            raise unavailable(
                f"{spec.server.title} {spec.name} {what}; the end of its log:\n{nodes_.log_tail(spec)}",
                "mend what the log says",
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
    """The cluster that `up` started, where at least one of its nodes still runs."""
    try:
        state = json.loads(_state_file(cache, server).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    pids = {int(pid): Path(folder) for pid, folder in state["pids"].items()}
    if not any(nodes_.runs(pid, folder) for pid, folder in pids.items()):
        return None
    return Cluster(tuple(state["urls"]), pids)
