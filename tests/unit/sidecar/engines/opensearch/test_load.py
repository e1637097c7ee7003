"""Load and free disk, from replies of ``_nodes/stats``."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.engines.opensearch.load import free_bytes, load, read_load, room
from sidecar.errors import ChercheError, Code
from sidecar.values.maintenance import Load, Room
from tests.unit.sidecar.engines.opensearch.fakes import FakeTransport, Sent, http, refusal

DISK = "cluster.routing.allocation.disk"


def node(queue: int, host: str = "a", mount: str = "/", free: int = 600, **more: Any) -> dict[str, Any]:
    pools = {"write": {"threads": 4, "queue": queue, "rejected": 1}, "search": {"queue": 1, "rejected": 2}}
    searches = {"search": {"query_total": 10, "query_time_in_millis": 500}}
    disk = {"mount": mount, "total_in_bytes": 1000, "available_in_bytes": free}
    return {"host": host, "thread_pool": pools, "indices": searches, "fs": {"data": [disk]}, **more}


def test_load_is_the_sum_over_the_nodes() -> None:
    found = read_load({"nodes": {"1": node(3), "2": node(5)}})
    assert found == Load(rejected=6, queued=10, threads=8, searches=20, search_seconds=1.0)


def test_a_node_without_figures_counts_nothing() -> None:
    assert read_load({"nodes": {"1": {}}}) == Load(rejected=0, queued=0, threads=0, searches=0, search_seconds=0.0)


@pytest.mark.parametrize(("low", "kept"), [("85%", 150), ("0.85", 150), ("100b", 100), ("0.5kb", 512)])
def test_disk_is_free_up_to_the_watermark(low: str, kept: int) -> None:
    assert free_bytes({"nodes": {"1": node(0)}}, {f"{DISK}.watermark.low": low}) == 600 - kept


def test_all_of_a_disk_is_free_where_the_cluster_ignores_watermarks() -> None:
    assert free_bytes({"nodes": {"1": node(0, free=100)}}, {f"{DISK}.threshold_enabled": "false"}) == 100


@pytest.mark.parametrize(("headroom", "kept"), [("100b", 100), ("1GB", 150), ("-1", 150)])
def test_a_share_of_a_large_disk_is_capped(headroom: str, kept: int) -> None:
    settings = {f"{DISK}.watermark.low": "85%", f"{DISK}.watermark.low.max_headroom": headroom}
    assert free_bytes({"nodes": {"1": node(0)}}, settings) == 600 - kept


def test_a_shared_disk_counts_once_and_a_node_without_data_not_at_all() -> None:
    shared = {"1": node(0), "2": node(0), "3": node(0, mount="/data"), "4": node(0, host="b", roles=["ingest"])}
    assert free_bytes({"nodes": shared}, {f"{DISK}.watermark.low": "0b"}) == 1200


def test_a_disk_beyond_the_watermark_takes_nothing_from_the_others() -> None:
    assert free_bytes({"nodes": {"1": node(0, free=100), "2": node(0, host="b")}}, {}) == 450


async def test_without_the_permission_load_and_room_are_unknown() -> None:
    refused = http(FakeTransport(lambda _: refusal(403, "security_exception", "no permissions")))
    assert await load(refused) is None
    assert await room(refused, "books", {}, 0) is None


async def test_another_error_is_no_unknown_load() -> None:
    with pytest.raises(ChercheError) as failed:
        await load(http(FakeTransport(lambda _: refusal(503, "x", "no cluster manager"))))
    assert failed.value.code is Code.UNAVAILABLE


async def test_room_counts_every_copy() -> None:
    def answer(request: Sent) -> Any:
        if request.path == "/_nodes/stats/fs":
            return {"nodes": {"1": node(0)}}
        return {"_all": {"total": {"store": {"size_in_bytes": 80}}}}

    settings = {f"{DISK}.watermark.low": "100b"}
    assert await room(http(FakeTransport(answer)), "books", settings, 1) == Room(500, 80, 2)
