"""Clusters: one that lasts until `down`, or one that lasts as long as a ``with`` block."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from sidecar.cluster import node as nodes_
from sidecar.cluster.assemble import assemble, with_plugins
from sidecar.cluster.node import NodeSpec
from sidecar.cluster.places import cache_folder, check_readable, java_home, server_user
from sidecar.errors import invalid, unavailable

SIZES = (1, 3)
START_TIMEOUT = 180.0


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster: where its nodes listen; empty `pids` where it was started by somebody else."""

    urls: tuple[str, ...]
    pids: Mapping[int, Path]


def up(nodes: int = 1, heap: str = "1g", environment: Mapping[str, str] = os.environ) -> Cluster:
    """Start a cluster that lasts until `down`, or return the one that runs already.

    Its data stay under the cache folder and are found again by the next `up` of as many nodes.
    ``OPENSEARCH_URL`` names a cluster to use instead.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION naming what this machine lacks, UNAVAILABLE with the end of the
        node's log where the cluster does not come up.
    """
    if url := environment.get("OPENSEARCH_URL"):
        return Cluster((url,), {})
    cache = _cache(environment)
    if running := _read_state(cache):
        return running
    cluster = _start(cache / "dev" / f"nodes-{_checked(nodes)}", nodes, heap, environment, ())
    _write_state(cache, cluster)
    return cluster


def down(environment: Mapping[str, str] = os.environ, *, purge: bool = False) -> int:
    """End the nodes that `up` started, and no others; returns how many ran. `purge` deletes their data."""
    cache = _cache(environment)
    cluster = _read_state(cache)
    ended = nodes_.stop(cluster.pids) if cluster else 0
    _state_file(cache).unlink(missing_ok=True)
    if purge and (cache / "dev").is_dir():
        shutil.rmtree(cache / "dev")
    return ended


@contextmanager
def running_cluster(
    nodes: int = 1,
    heap: str = "512m",
    plugins: Sequence[Path] = (),
    environment: Mapping[str, str] = os.environ,
) -> Iterator[tuple[str, ...]]:
    """URLs of a fresh cluster on free loopback ports; it and its data are gone after the block.

    Parameters
    ----------
    nodes : {1, 3}
    heap : str
        Heap of each node as Java writes it.
    plugins : sequence of Path
        Plugin zips to install.
    """
    _cache(environment)
    with tempfile.TemporaryDirectory(prefix="cherche-cluster-", ignore_cleanup_errors=True) as scratch:
        os.chmod(scratch, 0o755)
        cluster = _start(Path(scratch), _checked(nodes), heap, environment, plugins)
        try:
            yield cluster.urls
        finally:
            nodes_.stop(cluster.pids)


def _start(folder: Path, nodes: int, heap: str, environment: Mapping[str, str], plugins: Sequence[Path]) -> Cluster:
    java, user, cache = java_home(environment), server_user(), _cache(environment)
    home = assemble(cache, environment)
    check_readable(home, user)
    if plugins:
        home = with_plugins(home, plugins, folder / "home")
    ports = nodes_.free_ports(2 * nodes)
    specs = [
        NodeSpec(number + 1, folder / f"node-{number + 1}", ports[2 * number], ports[2 * number + 1])
        for number in range(nodes)
    ]
    pids: dict[int, Path] = {}
    try:
        for spec in specs:
            nodes_.prepare(spec, specs, user)
            pids[nodes_.start(spec, java=java, home=home, heap=heap, user=user)] = spec.folder
        _wait(specs, pids)
    except BaseException:
        nodes_.stop(pids)
        raise
    return Cluster(tuple(spec.url for spec in specs), pids)


def _wait(specs: Sequence[NodeSpec], pids: Mapping[int, Path]) -> None:
    """Poll until every node has joined and the cluster is healthy."""
    deadline = time.monotonic() + START_TIMEOUT
    while not all(_healthy(spec, len(specs)) for spec in specs):
        dead = [spec for spec, (pid, folder) in zip(specs, pids.items(), strict=True) if not nodes_.runs(pid, folder)]
        if dead or time.monotonic() > deadline:
            spec = dead[0] if dead else specs[0]
            what = "ended" if dead else f"was not healthy within {START_TIMEOUT:g} s"
            raise unavailable(
                f"OpenSearch {spec.name} {what}; the end of its log:\n{nodes_.log_tail(spec)}",
                "mend what the log says",
            )
        time.sleep(0.1)


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


def _state_file(cache: Path) -> Path:
    return cache / "dev" / "cluster.json"


def _write_state(cache: Path, cluster: Cluster) -> None:
    state = {"urls": cluster.urls, "pids": {str(pid): str(folder) for pid, folder in cluster.pids.items()}}
    _state_file(cache).write_text(json.dumps(state), encoding="utf-8")


def _read_state(cache: Path) -> Cluster | None:
    """The cluster that `up` started, where at least one of its nodes still runs."""
    try:
        state = json.loads(_state_file(cache).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    pids = {int(pid): Path(folder) for pid, folder in state["pids"].items()}
    if not any(nodes_.runs(pid, folder) for pid, folder in pids.items()):
        return None
    return Cluster(tuple(state["urls"]), pids)
