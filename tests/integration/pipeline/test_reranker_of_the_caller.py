"""A reranker that the caller names reads the hits' texts, whatever codes the index stores."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sidecar.engines.embedded import EmbeddedEngine
from sidecar.errors import ChercheError, Code
from sidecar.pipeline import explain
from sidecar.testing import FakeModel
from sidecar.values.search import RerankStatus, SearchRequest
from tests.integration.pipeline.conftest import SYNONYMS, Bench, corpus, ids


@pytest.fixture
async def bench(embedded: EmbeddedEngine) -> AsyncIterator[Bench]:
    """An index with codes of one model beside a ColBERT of another width, and a model without that head."""
    models = [
        FakeModel(synonyms=SYNONYMS),
        FakeModel("late", sparse=False, dim=8),
        FakeModel("words", late_interaction=False),
    ]
    async with Bench(embedded, models) as made:
        await made.set_up(rerank_weight=0.9)
        await made.feed(corpus())
        made.forget_passes()
        yield made


async def test_it_reads_the_texts_and_has_a_weight_of_its_own(bench: Bench) -> None:
    result = await bench.ask("buy a car", rerank=True, reranker="late", rerank_window=10)
    assert (result.rerank.status, result.rerank.weight, result.rerank.reranked) == (RerankStatus.APPLIED, 0.5, 10)
    assert bench.passes == [1, 11, 0]  # the query's weights; ten texts and the query
    again = await bench.ask("buy a car", rerank=True, reranker="late", rerank_window=10)
    assert ids(again) == ids(result)
    assert bench.passes == [2, 12, 0]  # the texts were encoded lately
    own = await bench.ask("buy a car", rerank=True, rerank_window=10)
    assert own.rerank.weight == 0.9
    assert {hit.id: hit.parts.maxsim for hit in own.hits} != {hit.id: hit.parts.maxsim for hit in result.hits}


async def test_its_pages_are_one_order(bench: Bench) -> None:
    asked = {"rerank": True, "reranker": "late", "rerank_window": 12}
    whole = await bench.ask("buy a car", size=12, **asked)
    page = await bench.ask("buy a car", size=6, paginate=True, **asked)
    after = await bench.ask("buy a car", size=6, paginate=True, page_token=page.next_page_token, **asked)
    assert [*page.hits, *after.hits] == list(whole.hits)
    with pytest.raises(ChercheError, match="belongs to another search"):
        await bench.ask("buy a car", size=6, rerank=True, rerank_window=12, page_token=page.next_page_token)


async def test_its_matches_are_explained(bench: Bench) -> None:
    request = SearchRequest(bench.index, "buy a car", rerank=True, reranker="late", size=1)
    _, (explained,) = await explain(request, bench.context)
    assert "car" in {match.query_token for match in explained.matches}
    assert all(match.document_token for match in explained.matches)
    assert explained.terms[0].token


async def test_a_name_that_is_not_served_is_an_error(bench: Bench) -> None:
    with pytest.raises(ChercheError, match="'nobody' is not served") as caught:
        await bench.ask("buy a car", rerank=True, reranker="nobody")
    assert caught.value.code is Code.NOT_FOUND


async def test_a_model_without_token_embeddings_cannot_rerank(bench: Bench) -> None:
    result = await bench.ask("buy a car", rerank=True, reranker="words")
    assert result.rerank.status == RerankStatus.UNAVAILABLE
    assert result.rerank.reason.endswith("has no late-interaction head — name a ColBERT or joint model")
