"""Feeds over both engines: what is written, reused, refused, and what each document costs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import pytest

from sidecar.errors import Code
from sidecar.maintenance.setup import setup
from sidecar.models.admission import BatchOptions
from sidecar.pipeline import explain, ingest
from sidecar.pipeline.context import Limits
from sidecar.protocols import Engine
from sidecar.testing import FakeModel
from sidecar.values.documents import SourceDocument
from sidecar.values.index import Identity, IndexOptions, TextField
from sidecar.values.search import RerankStatus, SearchRequest
from tests.integration.pipeline.conftest import Bench, corpus


async def test_a_joint_model_passes_once_over_documents_and_queries(bench: Bench) -> None:
    await bench.set_up()
    bench.forget_passes()
    await bench.feed(corpus())
    assert bench.passes == [60]
    await bench.ask("buy a car", rerank=True)
    assert bench.passes == [61]


async def test_two_models_pass_once_each(embedded: Engine) -> None:
    models = [FakeModel("sparse", late_interaction=False), FakeModel("late", sparse=False, dim=8)]
    async with Bench(embedded, models) as bench:
        await bench.set_up(reranker="late")
        await bench.feed(corpus())
        assert bench.passes == [60, 60]
        result = await bench.ask("buy a car", rerank=True)
        assert (result.rerank.status, bench.passes) == (RerankStatus.APPLIED, [61, 61])
        await bench.ask("buy a car", rerank=True, query_mode="doc_only")
        assert bench.passes == [61, 62]
        await bench.ask("buy a car", mode="bm25")
        assert bench.passes == [61, 62]


async def test_fed_twice_changes_nothing_and_encodes_nothing(filled: Bench) -> None:
    before = await filled.dump()
    results = await filled.feed(corpus())
    assert {result.outcome for result in results} == {"unchanged"}
    assert filled.passes == [0]
    assert await filled.dump() == before


async def test_updates_of_another_field_keep_weights_and_codes(filled: Bench) -> None:
    before = {document.id: document for document in await filled.dump()}
    changed = []
    for document in corpus():
        source = json.loads(document.raw)
        changed.append(SourceDocument(document.id, json.dumps({**source, "year": -source["year"]}).encode()))
    results = await filled.feed(changed)
    assert {result.outcome for result in results} == {"reused"}
    assert filled.passes == [0]
    for document in await filled.dump():
        assert document.source["year"] < 0
        assert document == replace(before[document.id], source=document.source)
    assert (await filled.ask("car", rerank=True)).rerank.status == RerankStatus.APPLIED


async def test_a_feed_that_is_cut_and_resumed_ends_as_an_uninterrupted_one(filled: Bench) -> None:
    whole = await filled.dump()
    async with Bench(filled.engine, filled.models, f"{filled.index}-other") as other:
        await other.set_up()
        seen = 0

        async def cut() -> None:
            nonlocal seen

            async def arriving() -> AsyncIterator[SourceDocument]:
                for place, document in enumerate(corpus()):
                    if place == 40:
                        raise ConnectionResetError
                    yield document

            async with aclosing(ingest(arriving(), other.index, other.context)) as results:
                async for result in results:
                    seen += result.error is None

        with pytest.raises(ConnectionResetError):
            await cut()
        assert seen == 40
        assert [document.id for document in await other.dump()] == [document.id for document in whole[:40]]
        results = await other.feed(corpus())
        assert [result.outcome for result in results] == ["unchanged"] * 40 + ["encoded"] * 20
        assert await other.dump() == whole


async def test_poison_and_nan_cost_only_themselves(bench: Bench) -> None:
    await bench.set_up()
    documents = corpus()
    documents[7] = SourceDocument("poisoned", b'{"title": "poison", "text": "in a batch of others"}')
    documents[23] = SourceDocument("broken", b'{"title": "notanumber", "text": "in a batch of others"}')
    documents[31] = SourceDocument("cut", b'{"title": "')
    results = await bench.feed(documents)
    failed = {result.id: result.error for result in results if result.error}
    assert set(failed) == {"poisoned", "broken", "cut"}
    for id, error in failed.items():
        assert repr(id) in error.reason
        assert error.next_step
    stats = await bench.engine.stats(bench.index)
    assert (stats.documents, stats.encoded) == (57, 57)


async def test_a_small_queue_slows_a_feed_and_fails_none_of_it(embedded: Engine) -> None:
    """Two feeds and a queue for less than one: refusals are certain, failures would be visible."""
    model = FakeModel(latency=0.001)
    async with Bench(embedded, [model], options=BatchOptions(tokens=64, queue_items=32)) as bench:
        await bench.set_up()
        pauses: list[float] = []

        async def sleep(seconds: float) -> None:
            pauses.append(seconds)
            await asyncio.sleep(seconds / 20)

        bench.context = replace(bench.context, sleep=sleep)
        halves = corpus(400)[:200], corpus(400)[200:]
        results = await asyncio.gather(*(bench.feed(half) for half in halves))
        assert {result.outcome for half in results for result in half} == {"encoded"}
        assert pauses
        assert (await bench.engine.stats(bench.index)).encoded == 400


async def test_a_deadline_ends_a_feed_with_an_answer_for_every_document(bench: Bench) -> None:
    await bench.set_up()
    bench.models[0].gate.clear()
    bench.context = bench.context.for_caller(Identity(), timeout=0.05)
    try:
        results = await bench.feed(corpus(100))
    finally:
        bench.models[0].gate.set()
    assert [result.id for result in results] == [document.id for document in corpus(100)]
    assert {result.error.code for result in results if result.error} == {Code.DEADLINE_EXCEEDED}
    assert len(results) == 100


async def test_other_fields_change_what_is_encoded_once_fed_again(filled: Bench) -> None:
    result = await filled.set_up(fields=(TextField("title"),))
    assert any("until they are fed again" in warning for warning in result.warnings)
    assert {one.outcome for one in await filled.feed(corpus())} == {"encoded"}
    assert all(document.hash for document in await filled.dump())
    request = SearchRequest(filled.index, "car", rerank=True)
    _, explained = await explain(request, filled.context)
    assert {len(one.notes) for one in explained} == {0}


async def test_what_setup_projects_is_what_a_feed_writes(filled: Bench) -> None:
    planned = await setup(filled.index, IndexOptions(), filled.context, dry_run=True)
    packed = sum(len(d.terms or b"") + len(d.codes or b"") for d in await filled.dump())
    postings = sum(result.terms for result in await filled.feed(corpus())) * 4
    assert planned.projected_bytes == pytest.approx(packed + postings, rel=0.05)


async def test_a_document_too_large_is_refused_and_its_neighbours_are_not(filled: Bench) -> None:
    filled.context = replace(filled.context, limits=Limits(document_bytes=200))
    large = SourceDocument("large", json.dumps({"text": "word " * 100}).encode())
    results = await filled.feed([large, SourceDocument("small", b'{"text": "word"}')])
    assert [result.outcome for result in results] == ["failed", "encoded"]
    assert results[0].error is not None
    assert "has 512 bytes, the limit is 200" in results[0].error.reason
