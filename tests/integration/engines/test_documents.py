"""Writing documents and reading them back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.errors import Code
from sidecar.values.documents import StoredDocument
from sidecar.values.index import Fingerprint, Gaps, IndexStats

ODD_IDS = ["a b", "日本", "🙂", "a/b?c", '"', "%41", "é", "_underscore", "x" * 512, "line\nbreak", ".", "*"]
ODD_TEXTS = [
    "",
    "control \x00 \x01 \x1f \x7f \x85 characters",
    'AND OR NOT NEAR( "unclosed * ^ : {c0} -',
    "'; DROP TABLE documents; --",
    "emoji 🙂 and 日本語 and combining cafe\u0301",
    "\u2028 \u2029 \ufeff \ufffe",
    "x" * 100_000,
]


async def test_a_document_is_read_back_byte_by_byte(bench):
    document = bench.document("1", "sun", {".": 1.5, "##s": 0.25, "日本": 3.0}, title="a", nested={"b": [1, None]})
    await bench.fill(document)
    found = (await bench.engine.read(bench.index, ["1", "missing"]))["1"]
    assert (found.source, found.hash, found.state) == (document.source, document.hash, "ok")
    assert (found.terms, found.codes) == (document.terms, document.codes)


async def test_missing_ids_are_absent(bench):
    assert await bench.engine.read(bench.index, ["1", "2"]) == {}
    assert await bench.engine.read(bench.index, []) == {}


async def test_a_read_sees_an_acknowledged_write_before_any_refresh(bench):
    for text in ("sun", "moon"):
        document = bench.document("1", text, {text: 1.0})
        (result,) = await bench.engine.write(bench.index, [document])
        assert result.error is None
        found = (await bench.engine.read(bench.index, ["1"]))["1"]
        assert (found.source, found.terms) == (document.source, document.terms)


async def test_an_update_replaces_text_and_weights(bench):
    await bench.fill(bench.document("1", "sun", {"sun": 1.0}), bench.document("2", "star", {"star": 1.0}))
    await bench.fill(bench.document("1", "moon", {"moon": 2.0}))
    assert (await bench.search("sun")).total == 0
    assert (await bench.search(weights={"sun": 1.0})).total == 0
    assert [hit.id for hit in (await bench.search("moon")).hits] == ["1"]
    (hit,) = (await bench.search(weights={"moon": 1.0})).hits
    assert hit.sparse == pytest.approx(2.0)


async def test_an_update_of_another_field_reuses_weights_and_codes(bench):
    document = bench.document("1", "sun", {"sun": 1.0}, price=1)
    await bench.fill(document)
    found = (await bench.engine.read(bench.index, ["1"]))["1"]
    await bench.fill(replace(document, source={**found.source, "price": 2}, terms=found.terms, codes=found.codes))
    (hit,) = (await bench.search("sun", {"sun": 1.0}, with_terms=True, with_codes=True)).hits
    assert hit.source == {"text": "sun", "price": 2}
    assert (hit.terms, hit.codes) == (document.terms, document.codes)
    assert hit.lexical > 0
    assert hit.sparse == pytest.approx(1.0)


async def test_of_two_with_one_id_the_later_stays(bench):
    await bench.fill(bench.document("1", "sun", {"sun": 1.0}), bench.document("1", "moon", {"moon": 1.0}))
    assert (await bench.engine.read(bench.index, ["1"]))["1"].source == {"text": "moon"}
    assert (await bench.engine.stats(bench.index)).documents == 1
    assert (await bench.search("sun", {"sun": 1.0})).total == 0


async def test_odd_ids(bench):
    await bench.fill(*(bench.document(id, "sun", {"sun": 1.0}) for id in ODD_IDS))
    assert set(await bench.engine.read(bench.index, ODD_IDS)) == set(ODD_IDS)
    assert {hit.id for hit in (await bench.search("sun", size=50)).hits} == set(ODD_IDS)


async def test_odd_texts(bench):
    documents = [bench.document(str(i), text, {"sun": 1.0}) for i, text in enumerate(ODD_TEXTS)]
    await bench.fill(*documents)
    found = await bench.engine.read(bench.index, [document.id for document in documents])
    assert {id: existing.source["text"] for id, existing in found.items()} == dict(
        zip(map(str, range(len(ODD_TEXTS))), ODD_TEXTS, strict=True)
    )
    for text in ODD_TEXTS[1:-1]:
        await bench.search(text)


@pytest.mark.parametrize(
    "poison",
    [
        StoredDocument("nan", {"text": "sun", "price": float("nan")}, "hash", "pending"),
        StoredDocument("surrogate", {"text": "sun \ud800"}, "hash", "pending"),
        StoredDocument("object", {"text": "sun", "price": object()}, "hash", "pending"),
        StoredDocument("", {"text": "sun"}, "hash", "pending"),
        StoredDocument("i" * 513, {"text": "sun"}, "hash", "pending"),
        StoredDocument("\ud800", {"text": "sun"}, "hash", "pending"),
    ],
    ids=["nan", "surrogate", "object", "empty id", "long id", "surrogate id"],
)
async def test_a_poison_document_fails_alone(bench, poison):
    good = [bench.document(id, "sun", {"sun": 1.0}) for id in "ab"]
    results = await bench.write(good[0], poison, good[1])
    assert [result.error is None for result in results] == [True, False, True]
    assert results[1].error.code == Code.INVALID_ARGUMENT
    assert {hit.id for hit in (await bench.search("sun")).hits} == {"a", "b"}


async def test_nothing_written_is_nothing_answered(bench):
    assert await bench.engine.write(bench.index, []) == []


async def test_scan_gives_every_document_once_and_in_rising_order_of_id_where_ids_can_be_sorted(bench, engine_name):
    ids = [f"{i:x}" for i in range(700)]
    await bench.fill(*(bench.document(id, "sun", {"sun": 1.0}) for id in ids))
    found = [document.id async for document in bench.engine.scan(bench.index)]
    assert (sorted(found) if engine_name == "elasticsearch" else found) == sorted(ids)


async def test_scan_gives_what_read_gives(bench):
    await bench.fill(bench.document("1", "sun", {"sun": 1.0}), bench.document("2", "moon"))
    read = await bench.engine.read(bench.index, ["1", "2"])
    assert {found.id: found async for found in bench.engine.scan(bench.index)} == read


async def test_stats_count_all_encoded_and_pending(bench):
    assert await bench.engine.stats(bench.index) == IndexStats(0, 0, 0)
    await bench.fill(
        bench.document("1", "sun", {"sun": 1.0}), bench.document("2", "moon", {}), bench.document("3", "star")
    )
    stats = await bench.engine.stats(bench.index)
    assert (stats.documents, stats.encoded, stats.pending) == (3, 2, 1)


async def test_gaps_are_documents_with_text_and_without_weights_or_codes(bench):
    whole = bench.document("whole", "sun", {"sun": 1.0})
    await bench.fill(
        whole,
        bench.document("waiting", "moon"),
        StoredDocument("deferred", {"text": "moon"}, "", "pending"),
        StoredDocument("lost", {"text": "moon"}, "hash", "ok"),
        replace(whole, id="without codes", codes=None),
        StoredDocument("no text", {"n": 1}, "hash", "pending"),
    )
    found = await bench.engine.gaps(bench.index, bench.meta)
    assert found == Gaps(untouched=0, waiting=2, lost=1, without_codes=1)
    assert found.total == 4
    assert (await bench.engine.stats(bench.index)).pending >= 3
    weights_only = replace(bench.meta, fingerprint=Fingerprint("f" * 64))
    assert (await bench.engine.gaps(bench.index, weights_only)).without_codes == 0


async def test_a_sample_is_no_larger_than_asked_and_holds_documents_of_the_index(bench):
    await bench.fill(*(bench.document(str(i), "sun", {"sun": 1.0}) for i in range(20)))
    drawn = await bench.engine.sample(bench.index, 5)
    assert len({found.id for found in drawn}) == 5
    assert all(found.terms for found in drawn)
    assert len(await bench.engine.sample(bench.index, 100)) == 20
