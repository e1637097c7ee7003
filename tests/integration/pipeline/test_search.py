"""Searches over both engines: stages, pages, rerank statuses, cancellation."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from contextlib import suppress
from typing import Any

import pytest

from sidecar.errors import ChercheError, Code
from sidecar.maintenance.removal import remove
from sidecar.maintenance.setup import report
from sidecar.values.documents import SourceDocument
from sidecar.values.index import Identity
from sidecar.values.search import RerankStatus
from tests.integration.pipeline.conftest import Bench, corpus, ids


async def test_the_sparse_stage_finds_what_bm25_cannot(filled: Bench) -> None:
    assert not ids(await filled.ask("automobile", mode="bm25"))
    for mode in ("sparse", "hybrid"):
        result = await filled.ask("automobile", mode=mode)
        assert {hit.source["title"].split()[0] for hit in result.hits} == {"car"}


async def test_an_index_without_documents_has_no_hits(bench: Bench) -> None:
    await bench.set_up()
    for mode in ("bm25", "sparse", "hybrid"):
        assert not ids(await bench.ask("a car", mode=mode, rerank=True))


@pytest.mark.parametrize("rerank", [False, True])
@pytest.mark.parametrize("mode", ["bm25", "sparse", "hybrid"])
async def test_pages_are_one_order(filled: Bench, mode: Any, rerank: bool) -> None:
    options: dict[str, Any] = {"mode": mode, "rerank": rerank, "rerank_window": 12, "rerank_weight": 0.8}
    whole = await filled.ask("how to buy a car", size=100, **options)
    page = await filled.ask("how to buy a car", size=7, paginate=True, **options)
    found, statuses = list(page.hits), [page.rerank.status]
    while page.next_page_token:
        token = page.next_page_token
        page = await filled.ask("how to buy a car", size=7, paginate=True, page_token=token, **options)
        found += page.hits
        statuses.append(page.rerank.status)
    assert found == list(whole.hits)
    assert len({hit.id for hit in found}) == len(found) == whole.total
    if rerank:
        assert statuses == [RerankStatus.APPLIED] * 2 + [RerankStatus.OUTSIDE_WINDOW] * (len(statuses) - 2)


@pytest.mark.parametrize("engine_name", ["embedded"], indirect=True)
async def test_a_page_of_an_index_that_changed_says_so(filled: Bench) -> None:
    token = (await filled.ask("car", paginate=True, size=3)).next_page_token
    await filled.feed([SourceDocument("new", b'{"text": "a new car"}')])
    with pytest.raises(ChercheError, match="page token expired") as caught:
        await filled.ask("car", paginate=True, size=3, page_token=token)
    assert caught.value.code is Code.FAILED_PRECONDITION


async def test_an_index_that_never_heard_of_us_is_reranked_on_the_fly(filled: Bench) -> None:
    stored = await filled.ask("buy a car", mode="bm25", rerank=True)
    await remove(filled.index, filled.context, dry_run=False)
    assert (await report(filled.index, filled.context)).meta is None
    filled.forget_passes()
    result = await filled.ask("buy a car", mode="bm25", rerank=True)
    assert (result.rerank.status, ids(result)) == (RerankStatus.APPLIED, ids(stored))
    assert result.fingerprint.sparse == ""
    with pytest.raises(ChercheError, match=f"run: cherche setup {filled.index}"):
        await filled.ask("buy a car")


async def test_codes_that_are_not_stored_rank_the_same(filled: Bench) -> None:
    stored = await filled.ask("buy a car", rerank=True, rerank_weight=0.9)
    async with Bench(filled.engine, filled.models, f"{filled.index}-lean") as lean:
        await lean.set_up(codec="none")
        await lean.feed(corpus())
        assert {document.codes for document in await lean.dump()} == {None}
        result = await lean.ask("buy a car", rerank=True, rerank_weight=0.9)
        assert (result.rerank.status, ids(result)) == (RerankStatus.APPLIED, ids(stored))
        assert [hit.score for hit in result.hits] == pytest.approx([hit.score for hit in stored.hits])


async def test_no_time_left_is_the_first_stages_order(filled: Bench) -> None:
    """The query waits behind a pass that does not end; on the fly the hits' texts do."""
    plain = await filled.ask("buy a car", mode="bm25")
    filled.models[0].gate.clear()
    filled.context = filled.context.for_caller(Identity(), timeout=2.0)
    try:
        result = await filled.ask("buy a car", mode="bm25", rerank=True)
    finally:
        filled.models[0].gate.set()
    assert (result.rerank.status, result.rerank.reranked) == (RerankStatus.DEADLINE, 0)
    assert ids(result) == ids(plain)


async def test_a_search_that_is_cancelled_at_any_point_leaves_nothing_behind(filled: Bench) -> None:
    before = asyncio.all_tasks()
    for steps in range(30):
        task = asyncio.create_task(filled.ask("buy a car", rerank=True, query_mode="doc_only"))
        for _ in range(steps):
            await asyncio.sleep(0.0002)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == before
    assert len(ids(await filled.ask("buy a car", rerank=True))) == 10


@pytest.mark.parametrize("engine_name", ["opensearch", "elasticsearch"], indirect=True)
async def test_another_order_and_facets_are_the_clusters(filled: Bench) -> None:
    body = {"sort": [{"year": "desc"}], "aggs": {"years": {"stats": {"field": "year"}}}, "track_total_hits": True}
    result = await filled.ask("car", rerank=True, body=body)
    assert (result.rerank.status, result.rerank.reranked) == (RerankStatus.SKIPPED_SORT, 0)
    years = [hit.source["year"] for hit in result.hits]
    assert years == sorted(years, reverse=True)
    assert result.aggregations is not None
    assert result.aggregations["years"]["count"] == result.total == 8
    assert [hit.extra["sort"] for hit in result.hits] == [[year] for year in years]


@pytest.mark.parametrize("engine_name", ["opensearch"], indirect=True)
async def test_pages_leave_no_point_in_time_open(filled: Bench, opensearch_url: str) -> None:
    def open_now() -> int:
        url = f"{opensearch_url.rstrip('/')}/_search/point_in_time/_all"
        with urllib.request.urlopen(url, timeout=30) as reply:
            return len(json.load(reply).get("pits", []))

    before = open_now()
    page = await filled.ask("town", size=25, paginate=True, rerank=True)
    assert open_now() == before + 1
    while token := page.next_page_token:
        page = await filled.ask("town", size=25, paginate=True, rerank=True, page_token=token)
    assert open_now() == before
