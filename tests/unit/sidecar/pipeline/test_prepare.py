from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cherche_models import codec
from sidecar.errors import ChercheError, Code, unavailable
from sidecar.pipeline import ingest
from sidecar.pipeline.encode import DocumentEncoder
from sidecar.pipeline.prepare import known_document, prepare_documents, prepare_query, rerank_hits
from sidecar.pipeline.stored import EncodedDocument
from sidecar.testing import FakeModel
from sidecar.values.documents import SourceDocument, StoredDocument
from sidecar.values.first_stage import EngineHit
from sidecar.values.index import IndexMeta
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
