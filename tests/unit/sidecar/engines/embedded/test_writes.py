from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.engines.embedded.writes import PAGE
from sidecar.errors import Code


async def pages(bench, after=-1, **options):
    [shard] = await bench.engine.shards(bench.index)
    return [page async for page in bench.engine.pages(shard, after, bench.meta, **options)]


async def test_a_bulk_larger_than_a_page_is_read_once_in_order_of_id(bench):
    await bench.fill(*(bench.document(f"{i:04}", "sun") for i in range(2 * PAGE + 1)))
    found = await pages(bench)
    assert [len(page) for page in found] == [PAGE, PAGE, 1]
    ids = [one.id for page in found for one in page]
    assert ids == sorted(set(ids))


async def test_pages_follow_the_writes_and_begin_after_the_given_one(filled):
    await filled.fill(filled.document("a", "moon"))
    [[*first, last]] = await pages(filled)
    assert ([one.id for one in first], last.id) == (["b", "c"], "a")
    assert [[one.id for one in page] for page in await pages(filled, first[0].version.seq_no)] == [["a"]]


async def test_only_incomplete_documents_are_read_on_request(filled):
    await filled.fill(filled.document("d", "moon"))
    [[found]] = await pages(filled, incomplete=True)
    assert (found.id, found.state, found.is_complete) == ("d", "pending", False)


@pytest.mark.parametrize(("change", "code"), [("written", Code.ABORTED), ("deleted", Code.NOT_FOUND), (None, None)])
async def test_an_update_of_a_changed_document_is_refused(filled, change, code):
    [[found, *_]] = await pages(filled)
    encoded = filled.document("a", "sun", {"moon": 1.0})
    update = replace(found, hash="new", state="ok", terms=encoded.terms, codes=encoded.codes)
    if change == "written":
        await filled.fill(filled.document("a", "star", {"star": 1.0}))
    elif change == "deleted":
        await filled.engine._write(lambda db: db.execute("DELETE FROM documents WHERE id = 'a'"))
    [result] = await filled.engine.update([update])
    assert (result.error and result.error.code) == code
    stored = await filled.engine.read(filled.index, ["a"])
    assert [one.hash == "new" for one in stored.values()] == {"written": [False], "deleted": [], None: [True]}[change]
