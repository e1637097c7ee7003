"""Load and free disk of a cluster, one request each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sidecar.engines.opensearch.answers import part, reading
from sidecar.engines.opensearch.http import Http, Request, index_path
from sidecar.errors import ChercheError, Code
from sidecar.values.documents import Json
from sidecar.values.maintenance import Load, Room

# Managed and serverless clusters may not offer node statistics at all (404, 410).
_UNKNOWN = (Code.PERMISSION_DENIED, Code.UNAUTHENTICATED, Code.NOT_FOUND, Code.INVALID_ARGUMENT)
# Above it the cluster places no further shard on a node, neither of a new index nor a replica.
_DISK = "cluster.routing.allocation.disk"
_LOW = f"{_DISK}.watermark.low"
_POOLS = ("write", "search")
# "b" last: all the others end in it.
_UNITS = {"pb": 2**50, "tb": 2**40, "gb": 2**30, "mb": 2**20, "kb": 2**10, "b": 1}
_SHOWN = ",".join(
    f"nodes.*.{part}"
    for part in ("thread_pool.write", "thread_pool.search", "indices.search.query_total", "indices.search.query_time*")
)


async def load(http: Http) -> Load | None:
    """Queues and searches of all nodes; None for a caller without the permission."""
    path = "/_nodes/stats/thread_pool,indices/search"
    reply = await _sent(http, Request("GET", path, params={"filter_path": _SHOWN}))
    if reply is None:
        return None
    with reading("cluster"):
        return read_load(reply)


async def room(http: Http, index: str, settings: Mapping[str, Any], replicas: int) -> Room | None:
    """Disk that is free on the data nodes, and what an index takes; None for a caller without the permission.

    Parameters
    ----------
    settings : mapping
        Of the cluster, flat.
    """
    disks = await _sent(http, Request("GET", "/_nodes/stats/fs"))
    stored = await _sent(http, Request("GET", index_path(index, "_stats", "store")))
    if disks is None or stored is None:
        return None
    total = int(part(stored, f'index "{index}"', "_all", "total", "store", "size_in_bytes", of=int))
    with reading("cluster"):
        return Room(free_bytes(disks, settings), total, 1 + replicas)


def read_load(reply: Json) -> Load:
    """Sum over the nodes of a ``_nodes/stats`` reply."""
    nodes = list(reply.get("nodes", {}).values())
    pools = [node.get("thread_pool", {}).get(pool, {}) for node in nodes for pool in _POOLS]
    searches = [node.get("indices", {}).get("search", {}) for node in nodes]
    return Load(
        rejected=sum(int(pool.get("rejected", 0)) for pool in pools),
        queued=sum(int(pool.get("queue", 0)) for pool in pools),
        threads=sum(int(node.get("thread_pool", {}).get("write", {}).get("threads", 0)) for node in nodes),
        searches=sum(int(one.get("query_total", 0)) for one in searches),
        search_seconds=sum(int(one.get("query_time_in_millis", 0)) for one in searches) / 1000,
    )


def free_bytes(reply: Json, settings: Mapping[str, Any]) -> int:
    """Bytes up to the low watermark on the data nodes' disks; a disk that nodes share counts once."""
    disks: dict[tuple[str, str], Json] = {}
    for node in reply.get("nodes", {}).values():
        if "data" in node.get("roles", ("data",)):
            for disk in node.get("fs", {}).get("data", ()):
                disks[str(node.get("host", "")), str(disk.get("mount", disk.get("path", "")))] = disk
    kept = ((disk, _kept_free(int(disk["total_in_bytes"]), settings)) for disk in disks.values())
    return sum(max(0, int(disk["available_in_bytes"]) - bytes_) for disk, bytes_ in kept)


def _kept_free(total: int, settings: Mapping[str, Any]) -> int:
    """Bytes of a disk that the watermark keeps free.

    A share of the disk is capped by ``max_headroom``, which Elasticsearch has since 8.0 (200 GB by default).

    >>> _kept_free(1000, {}), _kept_free(5000, {_LOW: "1kb"}), _kept_free(1000, {f"{_DISK}.threshold_enabled": "false"})
    (150, 1024, 0)
    """
    if str(settings.get(f"{_DISK}.threshold_enabled", "true")) == "false":
        return 0
    low = str(settings.get(_LOW, "85%"))
    if (absolute := _bytes(low)) is not None:
        return absolute
    # A ratio such as 0.85 is allowed too.
    share = float(low[:-1]) / 100 if low.endswith("%") else float(low)
    headroom = _bytes(str(settings.get(f"{_LOW}.max_headroom", "-1")))  # -1: no cap
    kept = round(total * (1 - share))
    return kept if headroom is None else min(kept, headroom)


def _bytes(size: str) -> int | None:
    """Value of a size such as ``200GB``; None for one without a unit."""
    for unit, factor in _UNITS.items():
        if size.lower().endswith(unit):
            return round(float(size[: -len(unit)]) * factor)
    return None


async def _sent(http: Http, request: Request) -> Any:  # noqa: ANN401  # a reply
    try:
        return await http.send(request, what="cluster")
    except ChercheError as error:
        if error.code in _UNKNOWN:
            return None
        raise
