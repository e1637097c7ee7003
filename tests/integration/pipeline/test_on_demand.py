"""Codes that are made on demand, over each engine in turn: what a search finds, what is written after it, and how."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from sidecar.maintenance.codes_writer import CodesWriter
from sidecar.pipeline.context import Limits
from sidecar.values.documents import SourceDocument, StoredDocument, WriteResult
from sidecar.values.index import Identity
from sidecar.values.search import RerankStatus
from tests.integration.pipeline.conftest import Bench, corpus, ids

QUERY = "how to buy a car"


@asynccontextmanager
async def writing(bench: Bench, **options: Any) -> Any:
    """Searches of the bench note what they lack for a writer, whose outcomes are counted."""
    outcomes = Counter[str]()
    writer = CodesWriter(
        bench.context,
        has_account=True,
        most=1000,
        observe=lambda outcome, count, waiting: outcomes.update({outcome: count}),
        **options,
    )
    before = bench.context
    bench.context = replace(before, wanted=writer.for_caller(Identity()))
    try:
        yield writer, outcomes
    finally:
        bench.context = before
        await writer.aclose()


async def test_a_window_is_encoded_once_and_ranked_as_one_that_was_fed_with_codes(bench: Bench) -> None:
    # All that match: deleted documents move scores, and so the edge of a smaller window.
    bench.context = replace(bench.context, limits=Limits(cold_documents=100))
    await bench.set_up()
    await bench.feed(corpus())
    stored = {one.id: one for one in await bench.dump()}
    fed = await bench.ask(QUERY, rerank=True)
    count = fed.rerank.reranked
    await bench.set_up(codes="on-demand")
    await bench.feed([replace(one, raw=one.raw.replace(b"in the town", b"in the city")) for one in corpus()])
    await bench.feed(corpus())
    cold = {one.id: one for one in await bench.dump()}
    assert all(one.codes is None for one in cold.values())
    assert not (await bench.engine.gaps(bench.index, await meta(bench))).total
    bench.forget_passes()
    async with writing(bench) as (writer, outcomes):
        first = await bench.ask(QUERY, rerank=True)
        assert (first.rerank, ids(first)) == (fed.rerank, ids(fed))
        assert {hit.id: hit.parts.maxsim for hit in first.hits} == {hit.id: hit.parts.maxsim for hit in fed.hits}
        await writer.settled()
    assert outcomes == {"wanted": count, "written": count}
    assert bench.passes == [1 + count], "the query, and each document once"
    warm = {one.id: one for one in await bench.dump()}
    has_codes = {id for id, one in warm.items() if one.codes is not None}
    assert len(has_codes) == count > 16
    assert {id: warm[id].codes for id in has_codes} == {id: stored[id].codes for id in has_codes}
    assert {id: replace(one, codes=None) for id, one in warm.items()} == cold
    bench.context = replace(bench.context, codes_cache=type(bench.context.codes_cache)())
    bench.forget_passes()
    again = await bench.ask(QUERY, rerank=True)
    assert (again.rerank.status, ids(again), bench.passes) == (RerankStatus.APPLIED, ids(fed), [1])


async def test_a_document_that_changes_meanwhile_keeps_its_newer_text(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.set_up(codes="on-demand")
    await bench.feed(corpus(8))
    update = bench.engine.update

    async def overtaken(documents: Sequence[StoredDocument], **options: Any) -> list[WriteResult]:
        await bench.feed([SourceDocument("doc-003", b'{"title": "newer", "text": "how to buy a car", "year": 2000}')])
        return await update(documents, **options)

    monkeypatch.setattr(bench.engine, "update", overtaken)
    async with writing(bench) as (writer, outcomes):
        await bench.ask(QUERY, rerank=True)
        await writer.settled()
    assert (outcomes["wanted"], outcomes["written"], outcomes["changed"]) == (8, 7, 1)
    newer = {one.id: one for one in await bench.dump()}["doc-003"]
    assert (newer.source["title"], newer.state, newer.codes) == ("newer", "ok", None)


async def meta(bench: Bench) -> Any:
    return await bench.engine.meta(bench.index)
