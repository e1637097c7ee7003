import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cherche_models import codec
from sidecar.errors import ChercheError, Code, unavailable
from sidecar.pipeline import ingest
from sidecar.pipeline.encode import DocumentEncoder
from sidecar.pipeline.prepare import (
    HitText,
    PassagesFound,
    known_document,
    passages_of_hits,
    prepare_documents,
    prepare_query,
    rerank_hits,
)
from sidecar.pipeline.stored import EncodedDocument
from sidecar.testing import FakeModel
from sidecar.values.documents import SourceDocument, StoredDocument
from sidecar.values.first_stage import EngineHit
from sidecar.values.index import IndexMeta
from sidecar.values.passages import PassageOptions
from sidecar.values.search import RerankOutcome, RerankStatus, SearchRequest, SparseOutcome, SparseStatus

DOC = SourceDocument("1", b'{"title": "sea", "text": "the blue sea"}')


async def prepare(
    world: Any, meta: IndexMeta, *documents: SourceDocument, known: StoredDocument | None = None
) -> list[Any]:
    encoder = DocumentEncoder.of(meta, world.encoders)
    return await prepare_documents(documents, [known or known_document("1")] * len(documents), encoder, world.context)


async def query(world: Any, meta: IndexMeta, **options: Any) -> Any:
    return await prepare_query(SearchRequest(index="", text="blue sea", **options), meta, world.context)


async def test_what_is_prepared_is_what_a_feed_stores(world: Any) -> None:
    meta = world.set_up()
    [prepared] = await prepare(world, meta, DOC)

    async def arriving() -> Any:
        yield DOC

    async for _ in ingest(arriving(), world.index, world.context):
        pass
    stored = world.engine.documents["1"]
    assert prepared.stored == replace(stored, features=None)
    assert (prepared.part.tokens, prepared.part.truncated, prepared.is_reused) == (6, False, False)


async def test_the_same_text_is_not_encoded_again(world: Any) -> None:
    meta = world.set_up()
    [first] = await prepare(world, meta, DOC)
    passes = len(world.encoder.calls)
    [second] = await prepare(world, meta, DOC, known=known_document("1", first.stored.hash, first.stored.terms))
    assert second.is_reused
    assert second.stored == replace(first.stored, codes=None)
    assert dict(second.part.weights.items()) == dict(first.part.weights.items())
    assert (second.part.codes, second.part.tokens, second.part.truncated) == (None, 0, False)
    assert len(world.encoder.calls) == passes


@pytest.mark.parametrize("known", [known_document("1", "another"), known_document("1", "", b"CT")])
async def test_terms_that_do_not_fit_are_made_anew(world: Any, known: StoredDocument) -> None:
    meta = world.set_up()
    [prepared] = await prepare(world, meta, DOC, known=known)
    assert not prepared.is_reused
    assert prepared.stored.codes is not None
    cut = known_document("1", prepared.stored.hash, prepared.stored.terms[:-1])
    [damaged] = await prepare(world, meta, DOC, known=cut)
    assert not damaged.is_reused


async def test_one_bad_document_costs_only_itself(world: Any) -> None:
    meta = world.set_up()
    bad = [SourceDocument("2", b"{"), SourceDocument("3", b'{"text": "poison"}'), SourceDocument("4", b'{"text": {}}')]
    first, *errors, last = await prepare(world, meta, DOC, *bad, replace(DOC, id="5"))
    assert isinstance(first, EncodedDocument)
    assert isinstance(last, EncodedDocument)
    assert all(isinstance(error, ChercheError) for error in errors)


async def test_a_joint_model_encodes_a_query_in_one_pass(world: Any) -> None:
    meta = world.set_up(sparse_boost=0.5)
    prepared = await query(world, meta, rerank=True)
    assert world.encoder.calls == [("query", 1)]
    assert len(prepared.encoded.clauses) == len(prepared.encoded.embeddings) == 2
    assert (prepared.boost, prepared.unreranked) == (0.5, None)
    assert prepared.sparse == SparseOutcome(SparseStatus.APPLIED, terms=2, tokens=prepared.sparse.tokens)
    assert (await query(world, meta, sparse_boost=2.0)).boost == 2.0


async def test_what_fails_for_the_reranker_costs_only_the_embeddings(make_world: Callable[..., Any]) -> None:
    world = make_world(FakeModel("sparse", late_interaction=False), FakeModel("late", sparse=False))
    meta = world.set_up(reranker="late")
    world.encoders.encoders[1].refusals = [unavailable("gone")]
    prepared = await query(world, meta, rerank=True)
    assert (len(prepared.encoded.clauses), prepared.encoded.embeddings) == (2, None)
    assert prepared.unreranked == RerankOutcome(RerankStatus.UNAVAILABLE, "gone")
    del world.encoders.encoders[1]
    unserved = (await query(world, meta, rerank=True)).unreranked
    assert unserved.status == RerankStatus.UNAVAILABLE
    assert "cherche serve --model late=PATH" in unserved.reason
    without = await query(world, replace(meta, fingerprint=replace(meta.fingerprint, codes="")), rerank=True)
    assert without.unreranked.status == RerankStatus.CODES_MISSING
    assert "stores no token codes" in without.unreranked.reason


async def test_without_an_engine_doc_only_needs_the_models_own_table(world: Any) -> None:
    meta = world.set_up()
    with pytest.raises(ChercheError, match="brings no idf table") as caught:
        await query(world, meta, query_mode="doc_only")
    assert caught.value.code is Code.FAILED_PRECONDITION
    world.encoder.idfs = {world.encoder.model.token_id("sea"): 3.0}
    assert [c.weight for c in (await query(world, meta, query_mode="doc_only")).encoded.clauses] == [3.0]


async def test_a_window_is_reranked_by_its_codes(world: Any) -> None:
    meta = world.set_up()
    one, two = await prepare(
        world, meta, SourceDocument("1", b'{"text": "sky"}'), SourceDocument("2", b'{"text": "sea"}')
    )
    [encoding] = world.encoder.model.encode(world.encoder.model.tokenize(["sea"], "query"), "query")
    hits = [
        EngineHit("1", 2.0, codes=one.stored.codes),
        EngineHit("2", 1.0, codes=two.stored.codes),
        EngineHit("3", 0.5),
    ]
    ranked = await rerank_hits(hits, encoding.embeddings, 1.0, world.context)
    assert [hit.id for hit in ranked.hits] == ["2", "1", "3"]
    assert (ranked.outcome.status, ranked.outcome.codes_missing) == (RerankStatus.PARTIAL, 1)
    assert codec.codes_header(two.stored.codes).tokens == 1


LONG = "w " * 100 + "the blue 🙂 se\u0301a, at last sea. " + "v " * 100


async def find(world: Any, meta: IndexMeta, *hits: HitText, **wanted: Any) -> PassagesFound:
    return await passages_of_hits(hits, "blue sea", PassageOptions(**wanted), meta, world.context)


async def test_passages_of_a_callers_hits_are_those_of_the_stored_codes(world: Any) -> None:
    meta = world.set_up(max_length=32, chunks=16)
    document = SourceDocument("1", json.dumps({"title": ["x", None, "sea"], "text": LONG}).encode())
    [one] = await prepare(world, meta, document)
    stored = HitText(document, one.stored.hash, one.stored.codes)
    found = await find(world, meta, stored, HitText(document), count=10)
    assert found.warnings == ()
    first, second = found.hits
    assert ({one.encoded_now for one in first}, {one.encoded_now for one in second}) == ({False}, {True})
    assert [(one.field, one.start, one.end) for one in first] == [(one.field, one.start, one.end) for one in second]
    best = first[0]
    assert (best.field, LONG[best.start : best.end]) == ("text", best.text)
    assert "the blue 🙂" in best.text
    assert ("title", 2, "sea") in [(one.field, one.element, one.text) for one in first]


async def test_passages_are_as_long_as_asked_for_and_in_the_fields_that_are_named(world: Any) -> None:
    meta = world.set_up()
    hit = HitText(SourceDocument("1", b'{"title": "a sea", "text": "w w w w w w blue w w w w sea w w w w w"}'))
    [passages] = (await find(world, meta, hit, size=2, count=3)).hits
    assert {len(one.text.split()) for one in passages} == {2}
    [passages] = (await find(world, meta, hit, fields=("title",))).hits
    assert [(one.field, one.text) for one in passages] == [("title", "a sea")]
    none = HitText(SourceDocument("2", b'{"text": "blue"}'))
    found = await find(world, meta, hit, none, fields=("title",))
    assert [len(one) for one in found.hits] == [1, 0]
    assert found.warnings == ("no passages of 1 of 2 hits: they have no text in title",)
    with pytest.raises(ChercheError, match="does not encode field 'body'"):
        await find(world, meta, hit, fields=("body",))


async def test_a_hit_that_cannot_be_read_costs_no_other_its_passages(world: Any) -> None:
    meta = world.set_up()
    good, bad = HitText(SourceDocument("1", b'{"text": "sea"}')), HitText(SourceDocument("2", b"{"))
    found = await find(world, meta, bad, good)
    assert [[one.text for one in passages] for passages in found.hits] == [[], ["sea"]]
    [warning] = found.warnings
    assert warning.startswith("no passages: document '2' is not JSON: ")
    with pytest.raises(ChercheError, match="the query is empty"):
        await passages_of_hits([good], " ", PassageOptions(), meta, world.context)


async def test_without_a_model_of_tokens_there_are_no_passages(make_world: Callable[..., Any]) -> None:
    world = make_world(FakeModel("sparse", late_interaction=False))
    found = await find(world, world.set_up(), HitText(SourceDocument("1", b'{"text": "sea"}')))
    assert found.hits == [()]
    assert found.warnings == (
        "no passages: model 'sparse' has no late-interaction head — set the index up with --reranker",
    )


async def test_a_model_that_cannot_read_the_query_is_an_error_of_the_call(world: Any) -> None:
    meta = world.set_up()
    world.encoder.refusals[:] = [ChercheError(Code.RESOURCE_EXHAUSTED, "the queue is full")]
    with pytest.raises(ChercheError, match="the queue is full"):
        await find(world, meta, HitText(SourceDocument("1", b'{"text": "sea"}')))
