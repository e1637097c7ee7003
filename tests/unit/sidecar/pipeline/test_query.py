"""Query texts as weighted clauses: what each mode sends, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cherche_models.types import TermWeights
from sidecar.errors import Code
from sidecar.pipeline.cache import QueryCache
from sidecar.testing import FakeModel
from sidecar.values.search import RerankStatus
from tests.unit.sidecar.pipeline.searching import WORDS, ask, filled, refused


async def test_a_bm25_search_with_a_query_of_its_own_needs_no_text(ready: Any) -> None:
    await ask(ready, text="", mode="bm25", body={"query": {"match_all": {}}})
    assert ready.engine.queries[0].body == {"query": {"match_all": {}}}


async def test_broken_query_weights_are_no_search(ready: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    error = await refused(ready, text="notanumber")
    assert error.code is Code.INTERNAL
    assert "gave NaN or infinite weights for this query" in error.reason


async def test_who_asks_the_same_again_waits_for_no_model(ready: Any) -> None:
    world = ready.with_context(query_cache=QueryCache(limit=100_000))
    first, again = await ask(world, rerank=True), await ask(world, rerank=True)
    assert len(ready.encoder.calls) == 1
    assert [(hit.id, hit.score) for hit in again.hits] == [(hit.id, hit.score) for hit in first.hits]
    assert (again.timings.tokenize, again.timings.queue, again.timings.encode) == (0.0, 0.0, 0.0)
    await ask(world, text="common four", rerank=True)
    assert len(ready.encoder.calls) == 2


async def test_what_lacks_a_head_is_encoded_again_for_the_next(ready: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world, known = ready.with_context(query_cache=QueryCache(limit=100_000)), FakeModel._encode
    with monkeypatch.context() as patch:
        patch.setattr(FakeModel, "_encode", lambda *passed: replace(known(*passed), embeddings=None))
        assert (await ask(world, rerank=True)).rerank.status == RerankStatus.UNAVAILABLE
    assert (await ask(world, rerank=True)).rerank.status == RerankStatus.APPLIED


async def test_query_modes(ready: Any) -> None:
    text = "common common common three four"
    await ask(ready, text, query_mode="pruned", query_terms=1)
    [clause] = ready.engine.queries[-1].clauses
    assert clause.name == f"h{ready.encoder.model.token_id('common') - 6}"
    ready.encoder.calls.clear()
    result = await ask(ready, text, query_mode="doc_only")
    assert not ready.encoder.calls
    weights = {c.id: c.weight for c in ready.engine.queries[-1].clauses}
    n, df = 40, 28  # `three` is in every text of 3 to 9
    assert weights[ready.encoder.model.token_id("three")] == pytest.approx(np.log1p((n - df + 0.5) / (df + 0.5)))
    assert result.query_terms == 3
    assert result.warnings == ("model 'fake' brings no idf table: query terms weigh their idf in this index",)
    assert [c.weight for c in ready.engine.queries[-1].clauses] == sorted(weights.values(), reverse=True)


async def test_doc_only_prefers_the_models_own_table(ready: Any) -> None:
    ready.encoder.idfs = {ready.encoder.model.token_id("three"): 4.5}
    assert (await ask(ready, query_mode="doc_only")).warnings == ()
    assert [c.weight for c in ready.engine.queries[-1].clauses] == [4.5]
    assert not ready.engine.calls["document_frequencies"]


async def test_a_query_without_weights_says_so(ready: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeModel, "_weights", lambda *_: TermWeights.empty())
    assert "the query has no term weights" in (await ask(ready)).warnings[0]
    assert (await ask(ready, mode="sparse")).hits == ()
    assert (await ask(ready, mode="bm25")).warnings == ()


async def test_a_truncated_query_says_so(make_world: Callable[..., Any]) -> None:
    world = await filled(make_world(FakeModel(max_length=10)))
    [warning] = (await ask(world, " ".join(WORDS * 2))).warnings
    assert warning == "the query has 22 tokens; the model read the first 10"
