"""Warnings of a search."""

from dataclasses import replace
from typing import Any

from sidecar.values.documents import StoredDocument
from sidecar.values.first_stage import EnginePage
from tests.unit.sidecar.pipeline.searching import ask


async def test_hits_that_are_not_encoded_as_they_are_are_mentioned(ready: Any) -> None:
    def without_weights(page: EnginePage) -> EnginePage:
        first = replace(page.hits[0], held=StoredDocument(page.hits[0].id, {"text": "sky"}))
        return replace(page, hits=(first, *page.hits[1:]))

    ready.engine.change = without_weights
    [warning] = (await ask(ready)).warnings
    assert "hits are not encoded as they are: 1 never encoded — run: cherche backfill" in warning
    assert ready.engine.queries[-1].with_state


async def test_hits_that_are_counted_and_not_ranked_are_mentioned(ready: Any) -> None:
    ready.engine.change = lambda page: replace(page, hits=page.hits[:4], total=40)
    warning = "fusion rrf ranks the best 2 hits of each part: its order ends there"
    assert warning in (await ask(ready, fusion="rrf", fusion_window=2)).warnings
    assert warning not in (await ask(ready, fusion="rrf", fusion_window=2, size=4)).warnings
    assert warning not in (await ask(ready)).warnings


async def test_a_search_that_leaves_nothing_out_has_no_warnings(ready: Any) -> None:
    assert (await ask(ready)).warnings == ()


async def test_a_query_without_term_weights_is_mentioned(ready: Any) -> None:
    assert "the query has no term weights: the sparse score of every hit is 0" in (await ask(ready, "?!")).warnings
    assert not (await ask(ready, "?!", mode="bm25")).warnings
