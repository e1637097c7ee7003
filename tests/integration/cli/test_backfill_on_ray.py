"""The backfill as a Ray Data pipeline, on a Ray cluster of this machine: ``make ray``."""

from __future__ import annotations

import asyncio
import json
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sidecar.cli import backfill_on_ray
from sidecar.config import Settings
from sidecar.engines.opensearch.bulk import MAX_BYTES
from sidecar.errors import ChercheError, Code
from sidecar.serve import in_process
from sidecar.values.index import IndexOptions

# Ray warns of its own deprecations.
pytestmark = [pytest.mark.java, pytest.mark.timeout(600), pytest.mark.filterwarnings("default")]
DOCUMENTS = 400


@pytest.fixture(scope="module")
def ray(require: Callable[[str, str], None]) -> Iterator[None]:
    try:
        import ray
    except ImportError:
        require("ray", "the extra ray is not installed: run make ray")
        raise
    ray.init(num_cpus=3, include_dashboard=False, object_store_memory=128 << 20, log_to_driver=False)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.wait_for_min_actors_s = 300  # else the first encoder might have done everything
    try:
        yield
    finally:
        ray.shutdown()


def send(url: str, method: str, path: str, body: bytes = b"", kind: str = "application/json") -> Any:
    request = urllib.request.Request(url + path, body or None, {"content-type": kind}, method=method)
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.load(reply)


def put(url: str, index: str, texts: dict[int, str]) -> None:
    """Write as somebody who has never heard of weights."""
    lines = "".join(f'{{"index":{{"_id":"{n}"}}}}\n{json.dumps({"title": text})}\n' for n, text in texts.items())
    assert len(lines) < MAX_BYTES
    assert not send(url, "POST", f"/{index}/_bulk?refresh=true", lines.encode(), "application/x-ndjson")["errors"]


@pytest.fixture
def index(opensearch_url: str) -> Iterator[str]:
    name = f"ray-{uuid.uuid4().hex[:8]}"
    send(opensearch_url, "PUT", f"/{name}", b'{"settings": {"number_of_shards": 3, "number_of_replicas": 0}}')
    yield name
    send(opensearch_url, "DELETE", f"/{name}")


@pytest.mark.usefixtures("ray")
async def test_many_encoders_leave_nothing_out(opensearch_url: str, index: str) -> None:
    settings = Settings(engine="opensearch", url=opensearch_url)
    put(opensearch_url, index, {n: f"duck number {n} swims" for n in range(DOCUMENTS)} | {DOCUMENTS: ""})
    async with in_process(settings) as client:
        await client.setup_index(index, IndexOptions())
        seen: list[int] = []
        first = await asyncio.to_thread(
            backfill_on_ray.backfill, index, settings, on_page=lambda report: seen.append(report.counts["encoded"])
        )
        assert (first.counts["encoded"], first.counts["failed"]) == (DOCUMENTS, 0)
        assert (first.not_done, first.counts["skipped"]) == ([], 1)
        assert 2 <= len(first.encoders) <= 2 * first.rounds  # each round has a pool of its own
        assert seen == sorted(seen)
        stats = (await client.get_index(index)).stats
        assert (stats.documents, stats.encoded) == (DOCUMENTS + 1, DOCUMENTS)

        put(opensearch_url, index, {n: f"goose number {n} flies" for n in range(20)})
        again = await asyncio.to_thread(backfill_on_ray.backfill, index, settings)
        assert again.counts["encoded"] == 20
        stored = {one.id: one async for one in client.dump_index(index)}
    assert sum(one.state == "ok" for one in stored.values()) == DOCUMENTS


def test_what_cannot_be_shared_is_refused(tmp_path: Any) -> None:
    with pytest.raises(ChercheError, match="cannot share") as refused:
        backfill_on_ray.backfill("articles", Settings())
    assert refused.value.code is Code.INVALID_ARGUMENT
