from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.errors import Code
from sidecar.values.documents import StoredDocument
from sidecar.values.index import Fingerprint, Gaps, TextField
from tests.unit.sidecar.engines.embedded.conftest import refused


async def test_indices_of_one_file_do_not_meet(filled):
    other = replace(filled, index="other")
    await other.engine.setup("other", other.meta)
    await other.fill(other.document("z", "sun", {"sun": 1.0}))
    assert [hit.id for hit in (await other.search("sun", {"sun": 1.0})).hits] == ["z"]
    assert (await filled.search("sun", {"sun": 1.0})).total == 3
    await filled.engine.remove(filled.index)
    assert (await other.search(weights={"sun": 1.0})).total == 1


async def test_other_fields_index_the_text_again(filled):
    await filled.fill(filled.document("d", "moon", {"moon": 1.0}, body="sun"))
    changed = replace(filled.meta, fields=(TextField("body"),))
    plan = await filled.engine.setup(filled.index, changed)
    assert plan.warnings == ("the searched fields change: 4 documents are indexed again",)
    page = await filled.search("sun", fields=(TextField("body"),))
    assert [hit.id for hit in page.hits] == ["d"]
    await filled.fill(filled.document("d", "moon", {"moon": 1.0}, body="star"))
    assert (await filled.search("sun", fields=(TextField("body"),))).total == 0


@pytest.mark.parametrize("name", ["", "Articles", "a b", "a/b", "-a", "..", "a*", "a" * 256])
async def test_names_that_a_cluster_refuses_are_refused(engine, bench, name):
    assert (await refused(engine.setup(name, bench.meta))).code == Code.INVALID_ARGUMENT


async def test_weights_for_a_plugin_of_a_cluster_are_refused(engine, bench, index):
    error = await refused(engine.plan(index, replace(bench.meta, weights="seismic")))
    assert (error.code, error.next_step) == (Code.FAILED_PRECONDITION, "leave out --weights")


async def test_an_index_without_fields_is_refused(engine, bench, index):
    assert "name them" in (await refused(engine.setup(index, replace(bench.meta, fields=())))).next_step


async def test_a_page_token_expires_with_the_next_write(filled):
    page = await filled.search("sun", keep_pit=True)
    await filled.write(replace(filled.document("p"), source={"x": float("nan")}))
    assert (await filled.search("sun", pit=page.pit)).pit == page.pit
    await filled.fill(filled.document("d"))
    error = await refused(filled.search("sun", pit=page.pit))
    assert error.code == Code.FAILED_PRECONDITION
    assert str(error) == "page token expired: the index changed — search again"


async def test_setting_up_again_changes_nothing(filled):
    plan = await filled.engine.setup("articles", filled.meta)
    assert (len(plan.requests), plan.documents, plan.warnings) == (1, 3, ())
    assert (await filled.search("sun", {"sun": 1.0})).total == 3


async def test_documents_of_one_model_are_not_mixed_with_those_of_another(filled):
    other = replace(filled.meta, model="other", fingerprint=Fingerprint("0" * 64, "1" * 64))
    error = await refused(filled.engine.setup("articles", other))
    assert (error.code, "3 documents encoded for tiny" in error.reason) == (Code.FAILED_PRECONDITION, True)
    await filled.engine.remove("articles")
    assert (await filled.engine.setup("articles", other)).documents == 3


async def test_gaps_are_counted_by_reason(filled):
    untouched = StoredDocument("d", {"text": "moon"}, "", None)
    without_text = StoredDocument("e", {"other": "moon"}, "", None)
    await filled.fill(untouched, without_text, filled.document("f", "moon"))
    assert await filled.engine.gaps("articles", filled.meta) == Gaps(untouched=1, waiting=1)
