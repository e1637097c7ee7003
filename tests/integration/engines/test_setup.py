"""Setting up, describing and removing an index."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.errors import ChercheError, Code
from sidecar.values.index import Fingerprint, IndexMeta, TextField

META = IndexMeta(
    model="sparse-model",
    reranker="late-model",
    fingerprint=Fingerprint("a" * 64, "b" * 64),
    fields=(TextField("title", 0.25, 2.5), TextField("body text")),
    max_length=77,
    prune="top_k:128",
    sparse_boost=0.125,
    rerank_weight=0.75,
    rerank_window=33,
)


async def test_what_was_set_up_is_read_back(engine, index):
    await engine.setup(index, META)
    assert await engine.meta(index) == META


async def test_a_plan_writes_nothing(engine, index):
    plan = await engine.plan(index, META)
    assert plan.requests
    assert plan.documents == 0
    for request in plan.requests:
        assert set(request) >= {"method", "path", "body"}
    with pytest.raises(ChercheError) as caught:
        await engine.meta(index)
    assert caught.value.code == Code.NOT_FOUND


async def test_setup_does_what_its_plan_says(engine, index):
    planned = await engine.plan(index, META)
    assert (await engine.setup(index, META)).requests == planned.requests


async def test_a_second_setup_changes_only_the_settings(bench):
    await bench.fill(bench.document("1", "sun", {"sun": 1.0}))
    changed = replace(bench.meta, sparse_boost=2.0, rerank_weight=0.1)
    await bench.engine.setup(bench.index, changed)
    assert await bench.engine.meta(bench.index) == changed
    assert [hit.id for hit in (await bench.search("sun", {"sun": 1.0})).hits] == ["1"]


async def test_setup_refuses_to_mix_models(bench):
    await bench.fill(bench.document("1", "sun", {"sun": 1.0}))
    other = replace(bench.meta, model="other", fingerprint=Fingerprint("0" * 64))
    with pytest.raises(ChercheError, match="encoded for") as caught:
        await bench.engine.setup(bench.index, other)
    assert caught.value.code == Code.FAILED_PRECONDITION
    assert await bench.engine.meta(bench.index) == bench.meta


async def test_a_new_model_is_welcome_where_nothing_is_encoded(bench):
    other = replace(bench.meta, model="other", fingerprint=Fingerprint("0" * 64))
    await bench.engine.setup(bench.index, other)
    assert await bench.engine.meta(bench.index) == other


async def test_a_missing_index_is_not_found(engine, index):
    async def scan():
        return [document async for document in engine.scan(index)]

    for call in (
        engine.meta(index),
        engine.read(index, ["1"]),
        engine.refresh(index),
        engine.stats(index),
        engine.sample(index, 3),
        engine.document_frequencies(index, [(0, "sun")]),
        engine.remove(index),
        scan(),
    ):
        with pytest.raises(ChercheError, match=index) as caught:
            await call
        assert caught.value.code == Code.NOT_FOUND
        assert f"cherche setup {index}" in caught.value.next_step


async def test_remove_leaves_the_documents_as_they_were(bench):
    documents = [bench.document(str(i), f"sun {i}", {"sun": 1.0 + i}, year=2000 + i) for i in range(3)]
    await bench.fill(*documents, bench.document("pending", "moon"))
    assert (await bench.engine.remove(bench.index)).documents == 4
    assert await bench.engine.meta(bench.index) is None
    left = {found.id: found async for found in bench.engine.scan(bench.index)}
    assert {id: found.source for id, found in left.items()} == {
        **{d.id: d.source for d in documents},
        "pending": {"text": "moon"},
    }
    assert {(f.hash, f.state, f.terms, f.codes) for f in left.values()} == {("", None, None, None)}
    assert (await bench.engine.stats(bench.index)).encoded == 0


async def test_a_removed_index_has_no_term_weights_and_can_be_set_up_again(bench):
    await bench.fill(bench.document("1", "sun", {"sun": 1.0}))
    await bench.engine.remove(bench.index)
    assert (await bench.search(weights={"sun": 1.0})).total == 0
    assert (await bench.search("sun")).total == 1
    await bench.engine.setup(bench.index, bench.meta)
    await bench.fill(bench.document("1", "sun", {"sun": 1.0}))
    assert (await bench.search(weights={"sun": 1.0})).total == 1


async def test_removing_twice_changes_nothing_more(bench):
    await bench.fill(bench.document("1", "sun", {"sun": 1.0}))
    await bench.engine.remove(bench.index)
    assert (await bench.engine.remove(bench.index)).documents == 0


async def test_an_engine_says_what_it_is(engine):
    info = await engine.info()
    assert info.product
    assert info.version
    assert info.max_clauses >= 1024
