"""Documents read back by id."""

from __future__ import annotations

from typing import Any

from tests.unit.sidecar.engines.opensearch.fakes import FakeTransport, Sent, engine


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
