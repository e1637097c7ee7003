"""Setup, write, read back and remove on a real cluster of each product."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.engines.opensearch.mapping import HEAVY_FIELDS
from sidecar.errors import ChercheError, Code
from sidecar.values.documents import StoredDocument
from sidecar.values.index import Fingerprint
from tests.integration.opensearch.corpus import META, NAMES, Send, encoded, refused, weights_of

pytestmark = pytest.mark.java

USERS = [
    {"title": "first", "n": 1, "tags": ["a", "b"], "nested": {"x.y": 1.5, "empty": None}, "text": ""},
    {"title": "zweiter – №2 😀", "n": -0.0, "big": 9007199254740993, "date": "2026-01-01"},
    {"title": "third", "list": [{"a": 1}, {"a": 2}], "flag": False},
]


async def feed(engine: OpenSearchEngine, index: str, count: int) -> list[StoredDocument]:
    rng = random.Random(5)
    documents = [
        encoded(f"id-{number}", {"title": f"title {number}", "n": number}, weights_of(rng, 20))
        for number in range(count)
    ]
    assert refused(await engine.write(index, documents)) == {}
    return documents


async def test_setup_creates_an_index_once(opensearch: OpenSearchEngine, index: str, send: Send) -> None:
    planned = await opensearch.plan(index, META)
    with pytest.raises(ChercheError) as missing:
        await opensearch.meta(index)
    assert missing.value.code == Code.NOT_FOUND
    assert missing.value.next_step == f"run: cherche setup {index}"

    assert await opensearch.setup(index, META) == planned
    assert await opensearch.meta(index) == META
    again = await opensearch.setup(index, META)
    assert again.requests == ()

    tuned = replace(META, sparse_boost=0.4)
    changed = await opensearch.setup(index, tuned)
    assert [list(request["body"]) for request in changed.requests] == [["_meta"]]
    assert await opensearch.meta(index) == tuned


async def test_setup_keeps_what_an_index_has(opensearch: OpenSearchEngine, index: str, send: Send) -> None:
    mappings = {
        "_meta": {"owner": "search team"},
        "_source": {"excludes": ["secret", *HEAVY_FIELDS]},
        "properties": {"title": {"type": "text", "analyzer": "english"}},
    }
    await send("PUT", f"/{index}", {"mappings": mappings})
    await send("PUT", f"/{index}/_doc/1", USERS[0], refresh="true")
    plan = await opensearch.setup(index, META)
    assert plan.documents == 1
    assert [line for line in plan.warnings if "leaves secret out of _source" in line] == list(plan.warnings)
    stored = (await send("GET", f"/{index}/_mapping"))[index]["mappings"]
    assert stored["_meta"] == {"owner": "search team", "cherche": META.to_json()}
    assert stored["_source"] == mappings["_source"]
    assert stored["properties"]["title"] == mappings["properties"]["title"]


@pytest.mark.parametrize("lean", [True, False])
async def test_remove_gives_the_documents_back(
    opensearch: OpenSearchEngine, index: str, send: Send, lean: bool
) -> None:
    if lean:
        await opensearch.setup(index, META)
    else:
        await send("PUT", f"/{index}", {"mappings": {"_meta": {"owner": "me"}}})
    for number, source in enumerate(USERS):
        await send("PUT", f"/{index}/_doc/{number}", source)
    await send("POST", f"/{index}/_refresh")
    before = {hit["_id"]: hit["_source"] for hit in (await send("GET", f"/{index}/_search"))["hits"]["hits"]}
    assert before == {str(number): source for number, source in enumerate(USERS)}
    plan = await opensearch.setup(index, META)
    assert bool(plan.warnings) is not lean

    rng = random.Random(1)
    encoded_users = [encoded(id_, source, weights_of(rng, 10)) for id_, source in before.items()]
    assert refused(await opensearch.write(index, encoded_users)) == {}
    read = await opensearch.read(index, list(before))
    assert {id_: found.source for id_, found in read.items()} == before
    assert all(found.terms and found.codes for found in read.values())

    removed = await opensearch.remove(index)
    assert removed.documents == len(USERS)
    assert f"{index}: unused mapping of cherche_weights" in removed.remains
    assert await opensearch.meta(index) is None
    for id_, source in before.items():
        assert (await send("GET", f"/{index}/_doc/{id_}"))["_source"] == source
    assert (await opensearch.stats(index)).encoded == 0
    counts, documents = await opensearch.document_frequencies(index, list(enumerate(NAMES)))
    assert (sum(counts), documents) == (0, len(USERS))
    assert (await opensearch.remove(index)).documents == 0
    await opensearch.setup(index, META)
    assert await opensearch.meta(index) == META


async def test_setup_refuses_another_model(opensearch: OpenSearchEngine, index: str) -> None:
    other = replace(META, model="other", fingerprint=Fingerprint("c" * 64, "b" * 64))
    await opensearch.setup(index, META)
    await opensearch.setup(index, other)
    await opensearch.setup(index, META)
    await feed(opensearch, index, 1)
    with pytest.raises(ChercheError, match="1 documents encoded for the model fake") as refusal:
        await opensearch.setup(index, other)
    assert refusal.value.code == Code.FAILED_PRECONDITION
    assert f"cherche remove {index}" in refusal.value.next_step


async def test_setup_on_a_read_only_index_names_the_setting(
    opensearch: OpenSearchEngine, index: str, send: Send
) -> None:
    await send("PUT", f"/{index}")
    await send("PUT", f"/{index}/_settings", {"index.blocks.read_only": True})
    try:
        for change in (opensearch.plan, opensearch.setup):
            with pytest.raises(ChercheError, match=f'index "{index}": index.blocks.read_only refuses') as refusal:
                await change(index, META)
            assert refusal.value.code == Code.FAILED_PRECONDITION
            assert refusal.value.next_step == "set index.blocks.read_only to null"
    finally:
        await send("PUT", f"/{index}/_settings", {"index.blocks.read_only": None})


async def test_a_reranker_may_be_added_to_weights(opensearch: OpenSearchEngine, index: str) -> None:
    await opensearch.setup(index, replace(META, fingerprint=Fingerprint("a" * 64)))
    await feed(opensearch, index, 1)
    await opensearch.setup(index, META)
    assert await opensearch.meta(index) == META


async def test_setup_refuses_fields_of_another_type(opensearch: OpenSearchEngine, index: str, send: Send) -> None:
    await send("PUT", f"/{index}", {"mappings": {"properties": {"cherche_digest": {"type": "text"}}}})
    with pytest.raises(ChercheError, match="cherche_digest") as refusal:
        await opensearch.plan(index, META)
    assert refusal.value.code == Code.FAILED_PRECONDITION


@pytest.mark.parametrize("product", ["opensearch"], indirect=True)
async def test_recovery_source_is_left_out_only_where_that_is_safe(
    opensearch: OpenSearchEngine, index: str, send: Send
) -> None:
    def source(plan: object) -> object:
        return plan.requests[0]["body"]["mappings"]["_source"]  # type: ignore[attr-defined]  # a SetupPlan

    assert "recovery_source_excludes" not in source(await opensearch.plan(index, META))
    template = {
        "index_patterns": [f"{index}*"],
        "template": {"settings": {"index.replication.type": "SEGMENT"}},
    }
    await send("PUT", f"/_index_template/{index}", template)
    try:
        lean = source(await opensearch.plan(index, META))
        assert lean["recovery_source_excludes"] == lean["excludes"]
        await opensearch.setup(index, META)
    finally:
        await send("DELETE", f"/_index_template/{index}")


async def test_a_poison_document_stands_alone(opensearch: OpenSearchEngine, index: str) -> None:
    await opensearch.setup(index, META)
    rng = random.Random(2)
    good = [encoded(f"good-{n}", {"n": n}, weights_of(rng, 5)) for n in range(6)]
    bad = [
        encoded("mapping", {"n": "not a number"}, weights_of(rng, 5)),
        replace(encoded("negative", {"n": 1}, weights_of(rng, 5)), features={"a": -1.0}),
        encoded("x" * 513, {"n": 1}, weights_of(rng, 5)),
        encoded("", {"n": 1}, weights_of(rng, 5)),
        encoded("nan", {"m": float("nan")}, weights_of(rng, 5)),
        encoded("surrogate", {"m": "\ud800"}, weights_of(rng, 5)),
    ]
    mixed = [document for pair in zip(good, bad, strict=True) for document in pair]
    results = await opensearch.write(index, mixed)
    assert [result.id for result in results] == [document.id for document in mixed]
    errors = refused(results)
    assert set(errors) == {document.id for document in bad}
    assert {error.code for error in errors.values()} == {Code.INVALID_ARGUMENT}
    assert 'document "mapping"' in errors["mapping"].reason
    assert set(await opensearch.read(index, [document.id for document in good])) == {d.id for d in good}


async def test_the_last_of_two_documents_with_one_id_is_kept(opensearch: OpenSearchEngine, index: str) -> None:
    await opensearch.setup(index, META)
    weights = weights_of(random.Random(3), 3)
    twice = [encoded("same", {"n": n}, weights, hash_=f"{n:04}") for n in (1, 2)]
    assert refused(await opensearch.write(index, twice)) == {}
    found = (await opensearch.read(index, ["same", "same", "absent"]))["same"]
    assert (found.source, found.hash) == ({"n": 2}, "0002")


@pytest.mark.parametrize(
    "setting", ["index.blocks.read_only", "index.blocks.write", "index.blocks.read_only_allow_delete"]
)
async def test_a_blocked_index_names_the_setting(
    opensearch: OpenSearchEngine, index: str, send: Send, setting: str
) -> None:
    await opensearch.setup(index, META)
    await send("PUT", f"/{index}/_settings", {setting: True})
    try:
        [result] = await opensearch.write(index, [StoredDocument("1", {}, "hash", "pending")])
    finally:
        await send("PUT", f"/{index}/_settings", {setting: None})
    assert result.error is not None
    assert result.error.code == Code.FAILED_PRECONDITION
    assert setting in result.error.next_step


async def test_read_sees_every_acknowledged_write(opensearch: OpenSearchEngine, index: str, send: Send) -> None:
    await opensearch.setup(index, META)
    await send("PUT", f"/{index}/_settings", {"index.refresh_interval": "-1"})
    documents = await feed(opensearch, index, 30)
    read = await opensearch.read(index, [document.id for document in documents])
    assert {d.id: (d.source, d.hash, d.state, d.terms, d.codes) for d in documents} == {
        id_: (found.source, found.hash, found.state, found.terms, found.codes) for id_, found in read.items()
    }
    newer = [replace(document, hash="newhash1", codes=b"newer", source={"n": -1}) for document in documents[::2]]
    assert refused(await opensearch.write(index, newer)) == {}
    read = await opensearch.read(index, [document.id for document in documents])
    assert [read[d.id].codes for d in newer] == [b"newer"] * len(newer)
    assert [read[d.id].hash for d in newer] == ["newhash1"] * len(newer)
    assert all(read[d.id].hash == "hash" for d in documents[1::2])


async def test_an_update_by_others_shows_as_never_encoded(opensearch: OpenSearchEngine, index: str, send: Send) -> None:
    await opensearch.setup(index, META)
    await feed(opensearch, index, 3)
    await send("POST", f"/{index}/_update/id-1", {"doc": {"n": 99}}, refresh="true")
    read = await opensearch.read(index, ["id-0", "id-1"])
    assert (read["id-0"].hash, read["id-0"].state) == ("hash", "ok")
    assert (read["id-1"].hash, read["id-1"].state, read["id-1"].terms) == ("", "pending", None)
    stats = await opensearch.stats(index)
    assert (stats.documents, stats.encoded, stats.pending) == (3, 2, 1)


async def test_an_index_that_existed_keeps_weights_through_updates(
    opensearch: OpenSearchEngine, index: str, send: Send
) -> None:
    await send("PUT", f"/{index}")
    plan = await opensearch.setup(index, META)
    assert any("_source.excludes" in warning for warning in plan.warnings)
    await feed(opensearch, index, 1)
    await send("POST", f"/{index}/_update/id-0", {"doc": {"n": 99}}, refresh="true")
    found = (await opensearch.read(index, ["id-0"]))["id-0"]
    assert found.source == {"title": "title 0", "n": 99}
    assert found.hash == "hash"
    assert found.terms is not None


async def test_pending_documents_have_no_neural_part(opensearch: OpenSearchEngine, index: str) -> None:
    await opensearch.setup(index, META)
    pending = StoredDocument("p", {"title": "later"}, "hash", "pending")
    failed = StoredDocument("f", {"title": "never"}, "hash", "failed")
    assert refused(await opensearch.write(index, [pending, failed])) == {}
    found = await opensearch.read(index, ["p", "f"])
    assert (found["p"].state, found["p"].hash, found["p"].codes) == ("pending", "hash", None)
    assert found["f"].state == "failed"
    await opensearch.refresh(index)
    stats = await opensearch.stats(index)
    assert (stats.documents, stats.encoded, stats.pending) == (2, 0, 1)


async def test_scan_reaches_all_shards_and_rises_by_id_where_it_can(
    opensearch: OpenSearchEngine, index: str, send: Send, product: str
) -> None:
    await send("PUT", f"/{index}", {"settings": {"number_of_shards": 3}})
    await opensearch.setup(index, META)
    rng = random.Random(4)
    ids = [f"{rng.choice('abZé😀_-')}{number}" for number in range(450)]
    weights = weights_of(rng, 4)
    await opensearch.write(index, [encoded(id_, {"id": id_}, weights) for id_ in ids])
    await opensearch.refresh(index)
    scanned = [document async for document in opensearch.scan(index)]
    found = [document.id for document in scanned]
    assert (sorted(found) if product == "elasticsearch" else found) == sorted(ids)
    assert all(document.codes and document.terms and document.source == {"id": document.id} for document in scanned)
    some = await opensearch.sample(index, 50)
    assert len({document.id for document in some}) == 50


async def test_document_frequencies_count_documents(opensearch: OpenSearchEngine, index: str) -> None:
    await opensearch.setup(index, META)
    documents = await feed(opensearch, index, 60)
    await opensearch.refresh(index)
    features = list(enumerate(NAMES)) * 2  # more than one request holds
    counts, total = await opensearch.document_frequencies(index, features)
    expected = [sum(name in (d.features or {}) for d in documents) for _, name in features]
    assert (counts, total) == (expected, 60)
    assert counts[0] == 60
    assert await opensearch.document_frequencies(index, []) == ([], 60)
