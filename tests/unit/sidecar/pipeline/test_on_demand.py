"""An index that makes token codes on demand: what a feed stores, and what a search makes of hits without codes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from sidecar.errors import ChercheError, Code, overloaded
from sidecar.pipeline import explain
from sidecar.pipeline.context import Limits
from sidecar.values.documents import ColdDocument, StoredDocument
from sidecar.values.index import Identity
from sidecar.values.search import RerankStatus, SearchRequest
from tests.unit.sidecar.pipeline.searching import ask, filled, ids, pages


@dataclass
class Noted:
    """Notes what is wanted, and writes nothing."""

    documents: list[ColdDocument] = field(default_factory=list)

    def for_caller(self, identity: Identity) -> Noted | None:
        return None if identity.authorization else self

    def want(self, documents: Sequence[ColdDocument]) -> None:
        self.documents += documents


async def cold(world: Any, noted: Noted | None = None, most: int = 100, **options: Any) -> Any:
    """An index without codes, whose searches encode `most` hits."""
    found = await filled(world, codes="on-demand", **options)
    return found.with_context(wanted=noted, limits=Limits(cold_documents=most))


async def test_a_feed_stores_weights_and_no_codes(world: Any) -> None:
    await filled(world)
    whole = dict(world.engine.documents)
    world.engine.documents.clear()
    await filled(world, codes="on-demand")
    assert all(one.codes is None and one.state == "ok" for one in world.engine.documents.values())
    bare = {id: replace(one, codes=None) for id, one in whole.items()}
    assert world.engine.documents == bare, "the hash does not depend on when codes are made"


async def test_a_document_keeps_codes_that_it_has_until_its_text_changes(world: Any) -> None:
    await filled(world)
    codes = {id: one.codes for id, one in world.engine.documents.items()}
    documents = world.engine.documents
    documents["d03"] = replace(documents["d03"], source={**documents["d03"].source, "year": 1})
    await filled(world, codes="on-demand")
    assert {id: one.codes for id, one in documents.items()} == codes
    documents["d03"] = replace(documents["d03"], hash="of another text")
    await filled(world, codes="on-demand")
    assert documents["d03"].codes is None


async def test_cold_hits_are_ranked_as_if_their_codes_were_stored(world: Any) -> None:
    await filled(world, codec="pool2+int8")
    stored = await ask(world, rerank=True, rerank_window=20)
    world.engine.documents.clear()
    noted = Noted()
    searched = await cold(world, noted, codec="pool2+int8")
    result = await ask(searched, rerank=True, rerank_window=20)
    assert result.rerank == stored.rerank
    assert result.hits == stored.hits
    assert searched.encoder.lanes[-1] == "rerank"
    first = ids(await ask(searched, size=20))
    hashes = {id: one.hash for id, one in searched.engine.documents.items()}
    assert noted.documents == [ColdDocument(world.index, id, "", hashes[id]) for id in first]


async def test_a_search_encodes_so_many_and_counts_the_others(world: Any) -> None:
    noted = Noted()
    searched = await cold(world, noted, most=4)
    result = await ask(searched, rerank=True, rerank_window=10)
    assert (result.rerank.status, result.rerank.reranked, result.rerank.codes_missing) == (RerankStatus.PARTIAL, 4, 6)
    assert result.rerank.reason == "6 of 10 hits have no token codes yet: they are to be written after this search"
    assert {hit.parts.first_stage_rank for hit in result.hits if hit.parts.maxsim is not None} == {1, 2, 3, 4}
    assert len(noted.documents) == 10, "those that it encoded are to be written too"
    again = await ask(searched, rerank=True, rerank_window=10)
    assert again.rerank.reranked == 8, "what was encoded is kept"
    assert [call for call in searched.encoder.calls if call[0] == "document"] == [("document", 4)] * 2


async def test_without_room_for_any_the_first_stage_answers(world: Any) -> None:
    searched = await cold(world, Noted(), most=0)
    result = await ask(searched, rerank=True)
    assert (result.rerank.status, result.rerank.codes_missing) == (RerankStatus.CODES_MISSING, 40)
    assert result.hits == (await ask(searched)).hits


@pytest.mark.parametrize(
    "error", [overloaded("full", 1.0), ChercheError(Code.DEADLINE_EXCEEDED, "late")], ids=["overload", "deadline"]
)
async def test_a_model_that_cannot_costs_only_the_hits_without_codes(
    world: Any, error: ChercheError, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(world)
    documents = world.engine.documents
    top = ids(await ask(world))[:3]
    for id in top:
        documents[id] = replace(documents[id], codes=None)
    searched = await cold(world, Noted())
    encode = searched.encoder.encode_tokens

    async def failing(tokens: Any, kind: str, **options: Any) -> Any:
        if kind == "document":
            raise error
        return await encode(tokens, kind, **options)

    for id in top:
        documents[id] = replace(documents[id], codes=None)
    monkeypatch.setattr(searched.encoder, "encode_tokens", failing)
    result = await ask(searched, rerank=True, rerank_window=10)
    assert (result.rerank.status, result.rerank.reranked, result.rerank.codes_missing) == (RerankStatus.PARTIAL, 7, 3)


async def test_what_a_caller_did_not_wait_for_is_written_even_so(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    noted, started = Noted(), asyncio.Event()
    searched = await cold(world, noted)
    encode = searched.encoder.encode_tokens

    async def slow(tokens: Any, kind: str, **options: Any) -> Any:
        if kind == "document":
            started.set()
            await asyncio.Event().wait()
        return await encode(tokens, kind, **options)

    monkeypatch.setattr(searched.encoder, "encode_tokens", slow)
    asking = asyncio.create_task(ask(searched, rerank=True, rerank_window=10))
    await started.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert len(noted.documents) == 10


async def test_nothing_is_made_of_a_text_that_its_weights_are_not_of(world: Any) -> None:
    noted = Noted()
    searched = await cold(world, noted)
    documents = searched.engine.documents
    documents["d05"] = replace(documents["d05"], source={"title": "t", "text": "common three changed"})
    documents["d06"] = replace(documents["d06"], state="pending")
    documents["d07"] = StoredDocument("d07", documents["d07"].source)
    result = await ask(searched, mode="bm25", rerank=True, size=40)
    assert result.rerank.codes_missing == 3
    assert {"d05", "d06", "d07"}.isdisjoint(one.id for one in noted.documents)
    [warning] = result.warnings
    assert warning.startswith("3 of 40 hits are not encoded as they are: ")


async def test_fields_that_only_the_codes_needed_are_taken_back(world: Any) -> None:
    searched = await cold(world, Noted())
    result = await ask(searched, rerank=True, source_fields=("title",))
    assert result.rerank.status == RerankStatus.APPLIED
    assert {name for hit in result.hits for name in hit.source} == {"title"}


async def test_who_brings_credentials_that_the_sidecar_has_no_account_for_is_told(world: Any) -> None:
    noted = Noted()
    searched = await cold(world, noted, most=4)
    caller = searched.with_context(
        wanted=searched.context.for_caller(Identity("Basic c2VjcmV0")).wanted,
    )
    result = await ask(caller, rerank=True, rerank_window=10)
    assert result.rerank.reason == (
        "6 of 10 hits have no token codes yet, and this sidecar has no account of its own that writes them: give it a "
        "service account"
    )
    assert noted.documents == []


async def test_pages_are_ranked_by_stored_codes_alone(world: Any) -> None:
    """Codes that come between two pages would repeat hits and lose others."""
    await filled(world)
    searched = await cold(world, Noted())
    documents = searched.engine.documents
    top = ids(await ask(searched))[0]
    documents[top] = replace(documents[top], codes=None)
    found = await pages(searched, rerank=True, rerank_window=20, size=5)
    together = [id for page in found for id in ids(page)]
    assert sorted(together) == sorted(documents)
    assert found[0].rerank.codes_missing == 1
    assert "pages are ranked by stored codes alone" in found[0].rerank.reason
    assert not [call for call in searched.encoder.calls if call[0] == "document"]


async def test_passages_and_explanations_have_the_codes_that_were_made(world: Any) -> None:
    searched = await cold(world, Noted(), most=2)
    request = SearchRequest(index=world.index, text="common three", rerank=True, rerank_window=10, passages=1, size=10)
    result, explained = await explain(request, searched.context)
    made = [bool(one.matches) for one in explained]
    assert made.count(True) == 2
    assert made == [hit.parts.maxsim is not None for hit in result.hits]
    assert [bool(one.notes) and "no token codes" in one.notes[0] for one in explained] == [not one for one in made]
    assert all(hit.passages for hit in result.hits)


async def test_an_index_that_stores_codes_is_left_as_it_is(world: Any) -> None:
    await filled(world)
    noted = Noted()
    searched = world.with_context(wanted=noted)
    documents = searched.engine.documents
    documents["d01"] = replace(documents["d01"], codes=None)
    result = await ask(searched, rerank=True)
    assert result.rerank.reason == "1 of 40 hits have no token codes: feed their documents again"
    assert noted.documents == []
