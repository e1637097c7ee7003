"""Documents read back by id."""

from __future__ import annotations

from typing import Any

from tests.unit.sidecar.engines.opensearch.fakes import FakeTransport, Sent, engine


async def test_a_document_under_a_routing_that_nobody_named_is_found_by_a_search() -> None:
    def answer(request: Sent) -> Any:
        if request.path.endswith("_mget"):
            missing = {"type": "routing_missing_exception", "reason": "routing is required"}
            return {"docs": [{"_index": "books", "_id": "a", "error": {"root_cause": [missing], **missing}}]}
        hit = {"_index": "books", "_id": "a", "_routing": "r", "_source": {"title": "x", "cherche_state": "ok"}}
        return {"hits": {"hits": [{**hit, "fields": {"cherche_terms": ["dA"]}}]}}

    ours = engine(FakeTransport(answer))
    found = (await ours.read("books", ["a"]))["a"]
    assert (found.routing, found.terms) == ("r", b"t")
    assert await ours.read("books", ["a"], {"a": ""}) == {}, "a feed that writes without one finds nothing to keep"


async def test_versions_that_no_number_of_writes_explains_are_somebodys() -> None:
    numbers = ((1, 0), (3, 2), (5, 3), (1700000000, 8))
    hits = [{"_id": "a", "_version": version, "_seq_no": seq_no} for version, seq_no in numbers]
    assert await engine(FakeTransport(lambda _: {"hits": {"hits": hits}})).foreign_versions("books", 9) == 2


async def test_a_document_that_never_stands_still_counts_as_never_encoded() -> None:
    numbers = iter(range(100))

    def answer(request: Sent) -> Any:
        stamp = {"_seq_no": next(numbers), "_primary_term": 1}
        if request.path.endswith("_mget"):
            source = {"title": "x", "cherche_hash": "h", "cherche_state": "ok"}
            return {"docs": [{"_index": "books", "_id": "a", "found": True, "_source": source, **stamp}]}
        return {"hits": {"hits": [{"_index": "books", "_id": "a", "fields": {"cherche_terms": ["dA"]}, **stamp}]}}

    found = (await engine(FakeTransport(answer)).read("books", ["a"]))["a"]
    assert (found.source, found.hash, found.state, found.terms) == ({"title": "x"}, "", "pending", None)
